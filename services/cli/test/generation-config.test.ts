import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { decodingOf, readGenerationConfig } from "../src/inference/generation-config.js";
import { withFolder } from "./support.js";

const GREEDY = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1, noRepeatNgramSize: 0 };

describe("how tokens are chosen", () => {
  test("without a file: the most likely, or from all at a flag's temperature", () => {
    assert.deepEqual(decodingOf({}, {}), { sampling: GREEDY, maxNewTokens: 64, taken: [], ignored: [] });
    assert.deepEqual(decodingOf({ temperature: 0.8 }, {}).sampling, { ...GREEDY, temperature: 0.8 });
  });

  test("as the file says, with top_k 50 where it draws and does not say (transformers 5.24's default)", () => {
    const config = { do_sample: true, temperature: 0.6, top_p: 0.9, repetition_penalty: 1.1, max_new_tokens: 200 };
    const { sampling, maxNewTokens, taken } = decodingOf({}, config);
    assert.deepEqual(sampling, { ...GREEDY, temperature: 0.6, topK: 50, topP: 0.9, repetitionPenalty: 1.1 });
    assert.equal(maxNewTokens, 200);
    assert.deepEqual(taken, ["max_new_tokens 200", "repetition_penalty 1.1", "temperature 0.6", "top_p 0.9"]);
  });

  test("without do_sample the file's temperature does not count, its penalties do", () => {
    const { sampling } = decodingOf({}, { temperature: 0.6, top_k: 20, no_repeat_ngram_size: 3 });
    assert.deepEqual(sampling, { ...GREEDY, noRepeatNgramSize: 3 });
  });

  test("flags win", () => {
    const config = { do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.9, max_new_tokens: 200 };
    assert.deepEqual(decodingOf({ temperature: 0 }, config).sampling, GREEDY);
    const { sampling, maxNewTokens, taken } = decodingOf({ temperature: 1.5, top_k: 0, max_new_tokens: 3 }, config);
    assert.deepEqual(sampling, { ...GREEDY, temperature: 1.5, topP: 0.9 });
    assert.equal(maxNewTokens, 3);
    assert.deepEqual(taken, ["top_p 0.9"]);
  });

  test("settings that would change the text and are not supported are named", () => {
    const config = {
      num_beams: 4,
      typical_p: 1,
      transformers_version: "5.24.0",
      eos_token_id: [1, 2],
      min_p: 0.05,
      bad_words_ids: null,
    };
    assert.deepEqual(decodingOf({}, config).ignored, ["num_beams 4", "min_p 0.05"]);
  });

  test("a file that is damaged or means nothing is refused, naming it", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "generation_config.json");
      await writeFile(path, "{");
      await assert.rejects(readGenerationConfig(folder), { code: "data_loss" });
      await writeFile(path, '{"top_p": 2}');
      await assert.rejects(readGenerationConfig(folder), {
        code: "invalid_argument",
        message: new RegExp(`^${path}: top_p: `),
      });
      await rm(path);
      assert.deepEqual(await readGenerationConfig(folder), {});
    });
  });
});

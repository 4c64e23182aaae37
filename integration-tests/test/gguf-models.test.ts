/** Models in GGUF files compute what transformers computes from them (fixtures/gguf, made by make_gguf.py there). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { relativeError, TOLERANCE } from "@gradpool/integration-tests";
import { modelPlaces } from "@gradpool/hub";
import { openModel } from "@gradpool/model-source";
import { LogitsSession } from "@gradpool/runtime";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";
import { loadTokenizer } from "@gradpool/tokenizers";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));

describe("logits of GGUF files", () => {
  let cache: string;
  before(async () => {
    cache = await mkdtemp(join(tmpdir(), "gradpool-gguf-"));
  });
  after(() => rm(cache, { recursive: true, force: true }));

  for (const name of ["llama-gqa", "qwen2-bias", "qwen3-norm"]) {
    test(name, async () => {
      const expected = readSafetensors(readFileSync(`${FIXTURES}gguf/${name}.logits.safetensors`)).tensors;
      const ids = Array.from(new BigInt64Array(Uint8Array.from(expected.get("ids")?.data ?? []).buffer), Number);
      const source = await openModel(`${FIXTURES}gguf/${name}.gguf`, modelPlaces({ GRADPOOL_HOME: cache }));
      await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads: 2 });
      const logits = await session.run(ids, [...ids.keys()]);
      const reference = expected.get("logits");
      assert.ok(reference);
      assert.deepEqual(logits.shape, reference.shape.slice(1));
      const error = relativeError(logits.data, toFloat32(reference));
      assert.ok(error <= TOLERANCE.logits, `${error}`);
    });

    test(`${name}: the tokenizer equals the original`, async () => {
      const source = await openModel(`${FIXTURES}gguf/${name}.gguf`, modelPlaces({ GRADPOOL_HOME: cache }));
      const converted = await loadTokenizer(source.dir, "");
      const original = await loadTokenizer(`${FIXTURES}golden/${name}/model`, "");
      const text = "def total(key, value=10):\n\treturn naïve # 日本語 🚀 1234\n";
      assert.deepEqual(converted.encode(text), original.encode(text));
      assert.equal(converted.info.eosId, original.info.eosId);
    });
  }
});

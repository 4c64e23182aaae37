/** Exported and sampled adapters compared with PEFT's merge_and_unload and transformers' generate. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gradpool, Golden, GOLDEN_CASES, relativeError, TOLERANCE } from "@gradpool/integration-tests";
import { openModel } from "@gradpool/model-source";
import { KeyValueCache, LogitsSession } from "@gradpool/runtime";
import { toFloat32 } from "@gradpool/safetensors";

const LAST = 8;
const READ = 6;

const int64 = (data: Uint8Array | undefined) =>
  Array.from(new BigInt64Array(Uint8Array.from(data ?? []).buffer), Number);
const mostLikely = (logits: Float32Array) => logits.reduce((best, logit, i) => (logit > logits[best]! ? i : best), 0);

for (const name of GOLDEN_CASES) {
  describe(name, () => {
    const golden = new Golden(name);
    const reference = golden.tensors("merged.safetensors");
    const ids = int64(golden.tensors("logits.safetensors").get("ids")?.data);
    let folder: string;
    let to: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "gradpool-export-"));
      const adapter = join(folder, "adapter");
      await cp(join(golden.dir, "final_adapter"), adapter, { recursive: true });
      // As a run leaves it: its tokenizer includes the pad token that it added.
      if (golden.addsPadToken) await writeFile(join(adapter, "tokenizer_config.json"), `{"pad_token": "<|pad|>"}`);
      to = join(folder, "merged");
      const argv = ["export", "--model_id", golden.modelDir, "--adapter", adapter, "--merged", "--to", to];
      const { code, stderr } = await gradpool(argv, folder);
      assert.equal(code, 0, stderr);
    });
    after(() => rm(folder, { recursive: true, force: true }));

    test("the merged model's logits and greedy tokens equal the reference's", async () => {
      const source = await openModel(to);
      await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads: 2 });
      const last = Array.from({ length: LAST }, (_, i) => ids.length - LAST + i);
      const logits = await session.run(ids, last);
      const expected = reference.get("logits");
      assert.ok(expected);
      assert.deepEqual(logits.shape, expected.shape);
      const error = relativeError(logits.data, toFloat32(expected));
      assert.ok(error <= TOLERANCE.logits, String(error));

      const greedy: number[] = [];
      const cache = new KeyValueCache();
      let unread = ids.slice(0, READ);
      for (const _ of int64(reference.get("greedy")?.data)) {
        unread = [mostLikely(await session.next(cache, unread))];
        greedy.push(...unread);
      }
      assert.deepEqual(greedy, int64(reference.get("greedy")?.data));
    });

    test("config, tokenizer and tensors equal the base's, with one more row if a pad token was added", async () => {
      const files = (await readdir(to)).sort();
      const baseFiles = await readdir(golden.modelDir);
      const optional = ["special_tokens_map.json"];
      assert.deepEqual(files, baseFiles.filter((file) => files.includes(file) || !optional.includes(file)).sort());
      const [base, merged] = await Promise.all([openModel(golden.modelDir), openModel(to)]);
      const more = golden.addsPadToken ? 1 : 0;
      assert.equal(merged.model.description.vocabSize, base.model.description.vocabSize + more);
      for (const { name, dtype, shape } of base.header.tensors.values()) {
        const entry = merged.header.tensors.get(name);
        const isTable = Object.values(base.model.tokenTables).includes(name);
        assert.equal(entry?.dtype, dtype);
        assert.deepEqual(entry.shape, isTable ? [(shape[0] ?? 0) + more, ...shape.slice(1)] : shape, name);
      }
      assert.equal(merged.header.tensors.size, base.header.tensors.size);
      const tokenizer = await readFile(join(to, "tokenizer.json"), "utf8");
      assert.equal(tokenizer.includes("<|pad|>"), golden.addsPadToken);
    });
  });
}

/** Continuing with cached keys and values gives the same result as reading the whole text, for each family. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cp, readFile, writeFile } from "node:fs/promises";
import { before, describe, test } from "node:test";
import { adaptedModules, loraScaling, ownScalings, parseAdapterConfig, readAdapter } from "@gradpool/adapter";
import { Golden, GOLDEN_CASES, relativeError, TEST_DEVICE, TOLERANCE, Workspace } from "@gradpool/integration-tests";
import { openModel } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { KeyValueCache, LogitsSession, type Adapter, type Base } from "@gradpool/runtime";
import { toFloat32 } from "@gradpool/safetensors";

const NEW_TOKENS = 24;

const mostLikely = (logits: Float32Array) => logits.reduce((best, logit, i) => (logit > logits[best]! ? i : best), 0);

for (const name of GOLDEN_CASES) {
  describe(name, () => {
    const golden = new Golden(name);
    let base: Base;
    let adapter: Adapter;
    before(async () => {
      const source = await openModel(golden.modelDir);
      const folder = `${golden.dir}final_adapter/`;
      const config = parseAdapterConfig(JSON.parse(readFileSync(`${folder}adapter_config.json`, "utf8")));
      const targets = adaptedModules(selectTargets(source.model.description, config.targetModules), config);
      const tensors = readAdapter(readFileSync(`${folder}adapter_model.safetensors`), targets, config.r);
      adapter = { tensors, scaling: loraScaling(config), ownScalings: ownScalings(targets, config) };
      base = { source, targets, padRow: golden.addsPadToken };
    });

    test("logits equal the reference's, position by position and in pieces", async () => {
      const expected = golden.tensors("logits.safetensors");
      const ids = Array.from(new BigInt64Array(Uint8Array.from(expected.get("ids")?.data ?? []).buffer), Number);
      const reference = expected.get("logits");
      assert.ok(reference);
      const rows = toFloat32(reference);
      const vocabulary = rows.length / ids.length;
      const { source } = base;
      await using session = await LogitsSession.create(
        { source, targets: [], padRow: false },
        { threads: 2, ...TEST_DEVICE },
      );
      for (const pieces of [ids.map((id) => [id]), [ids.slice(0, 5), ids.slice(5, 6), ids.slice(6)]]) {
        const cache = new KeyValueCache();
        for (const piece of pieces) {
          const logits = await session.next(cache, piece);
          const row = rows.subarray((cache.length - 1) * vocabulary, cache.length * vocabulary);
          assert.ok(relativeError(logits, row) <= TOLERANCE.logits, `position ${cache.length - 1}`);
        }
      }
    });

    test("greedy tokens and logits with an adapter equal those of reading the whole text", async () => {
      await using session = await LogitsSession.create(base, { threads: 2, ...TEST_DEVICE });
      const cache = new KeyValueCache();
      const text = [3, 1, 4, 1, 5];
      let unread = text;
      for (let i = 0; i < NEW_TOKENS; i++) {
        const logits = await session.next(cache, unread, adapter);
        const whole = await session.run(text, [text.length - 1], adapter);
        assert.ok(relativeError(logits, whole.data) <= TOLERANCE.logits, `token ${i}`);
        const id = mostLikely(logits);
        assert.equal(id, mostLikely(whole.data), `token ${i}`);
        text.push(id);
        unread = [id];
      }
      assert.equal(cache.length, text.length - 1);
    });
  });
}

test("a sliding window goes over what is cached as over the whole text", async () => {
  await using workspace = await Workspace.create();
  const dir = workspace.path("model");
  await cp(new Golden("mistral-gqa").modelDir, dir, { recursive: true });
  const config = JSON.parse(await readFile(`${dir}/config.json`, "utf8")) as object;
  const logitsOf = async (window: number) => {
    await writeFile(`${dir}/config.json`, JSON.stringify({ ...config, sliding_window: window }));
    const source = await openModel(dir);
    await using session = await LogitsSession.create(
      { source, targets: [], padRow: false },
      { threads: 1, ...TEST_DEVICE },
    );
    const cache = new KeyValueCache();
    const text = Array.from({ length: NEW_TOKENS }, (_, i) => (i * i * 7 + 3) % 100);
    let last = new Float32Array();
    for (const [i, id] of text.entries()) {
      const whole = await session.run(text.slice(0, i + 1), [i]);
      last = Float32Array.from(await session.next(cache, [id]));
      assert.ok(relativeError(last, whole.data) <= TOLERANCE.logits, `position ${i}`);
    }
    return last;
  };
  const [narrow, wide] = [await logitsOf(5), await logitsOf(64)];
  assert.ok(relativeError(narrow, wide) > 100 * TOLERANCE.logits);
});

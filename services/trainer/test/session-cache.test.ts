import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { initAdapter } from "@gradpool/adapter";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import { MAX_SESSIONS, SessionCache } from "../src/session-cache.js";
import { base, targets } from "./helpers.js";

const VARIANT = { useDora: false, dtype: "float32", documents: false };
const PLAIN = { dropout: false, modelDropout: false, gradientCheckpointing: false, basePrecision: "float32" as const };

describe("the sessions of a compute thread", () => {
  let home: string;
  let models: ModelPlaces;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), "gradpool-sessions-"));
    models = modelPlaces({ GRADPOOL_HOME: home });
  });
  after(() => rm(home, { recursive: true, force: true }));

  it("keep one for all ranks, batch sizes and lengths (I9)", async () => {
    const loaded: string[] = [];
    await using sessions = new SessionCache({
      session: { threads: 1 },
      models,
      onLoading: (id) => loaded.push(id),
      onLoaded: () => {},
    });
    for (const [r, rows, rowLength] of [
      [8, 2, 16],
      [3, 1, 40],
      [64, 5, 7],
      [8, 2, 16],
    ] as const) {
      const { session } = await sessions.get(structuredClone(base), PLAIN);
      const ids = new Int32Array(rows * rowLength).fill(5);
      const lengths = Array.from({ length: rows }, () => rowLength);
      const adapter = { tensors: initAdapter(targets, r, 1), scaling: 2 };
      const { lossSum, targetTokens } = await session.run({ rows, rowLength, ids, lengths }, adapter);
      assert.ok(Number.isFinite(lossSum));
      assert.equal(targetTokens, rows * (rowLength - 1));
    }
    assert.deepEqual(loaded, [base.modelId]);
  });

  it("are made again after they were given up", async () => {
    let loads = 0;
    await using sessions = new SessionCache({
      session: { threads: 1 },
      models: modelPlaces({}),
      onLoading: () => loads++,
      onLoaded: () => {},
    });
    const { session } = await sessions.get(base, PLAIN);
    const { session: other } = await sessions.getForLoss(base);
    await sessions.release(session);
    assert.notEqual((await sessions.get(base, PLAIN)).session, session);
    assert.equal((await sessions.getForLoss(base)).session, other);
    assert.equal(loads, 3);
  });

  it("release the least recently used one beyond the bound", async () => {
    let loads = 0;
    await using sessions = new SessionCache({
      session: { threads: 1 },
      models,
      onLoading: () => loads++,
      onLoaded: () => {},
    });
    const loadsBy = async (...key: Parameters<SessionCache["get"]>) => {
      const before = loads;
      await sessions.get(...key);
      return loads - before;
    };
    const fewer = { ...base, targetModules: base.targetModules.slice(0, 1) };
    assert.equal(MAX_SESSIONS, 2);
    assert.equal(await loadsBy(base, PLAIN), 1);
    assert.equal(await loadsBy(base, { ...PLAIN, dropout: true }), 1);
    assert.equal(await loadsBy(base, PLAIN), 0);
    assert.equal(await loadsBy(fewer, PLAIN), 1);
    assert.equal(await loadsBy(base, PLAIN), 0);
    assert.equal(await loadsBy(base, { ...PLAIN, dropout: true }), 1);
    assert.equal(await loadsBy(base, PLAIN), 0);
    assert.equal(await loadsBy({ ...base, padRow: true }, PLAIN), 1);
    assert.equal(await loadsBy(base, { ...PLAIN, modelDropout: true }), 1);
    assert.equal(await loadsBy(base, { ...PLAIN, gradientCheckpointing: true }), 1);
    assert.equal(await loadsBy(base, PLAIN, { ...VARIANT, useDora: true }), 1);
    assert.equal(await loadsBy(base, PLAIN, { ...VARIANT, dtype: "float16" }), 1);
    assert.equal(await loadsBy(base, PLAIN, { ...VARIANT, documents: true }), 1);
    assert.equal(await loadsBy(base, { ...PLAIN, basePrecision: "int8" }), 1);
    // Evaluations have their own.
    await sessions.getForLoss(base);
    await sessions.getForLoss({ ...base });
    assert.equal(loads, 12);
  });
});

/** Files of a checkpoint may be anybody's: they are read in a thread that is ended when one takes too long. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { modelPlaces } from "@gradpool/hub";
import { Models } from "../src/runs/models.js";
import { failure } from "./support.js";

const signal = new AbortController().signal;
const places = modelPlaces({ GRADPOOL_HOME: "/nonexistent" });
/** A header of at most 8 MB is read. */
const TENSORS = 100_000;
const STEPS = 400_000;

/** Its reading takes far more than the bound of these tests. */
function longState(): Uint8Array {
  return Buffer.from(JSON.stringify({ recipe: Array.from({ length: STEPS }, (_, i) => ({ [`key-${i}`]: [i] })) }));
}

function longHeader(): Uint8Array {
  const entry = (i: number) => `"tensor.${i}":{"dtype":"F32","shape":[1],"data_offsets":[${4 * i},${4 * i + 4}]}`;
  const text = `{${Array.from({ length: TENSORS }, (_, i) => entry(i)).join()}}`;
  const json = Buffer.from(text.padEnd(8 * Math.ceil(text.length / 8)));
  const file = Buffer.alloc(8 + json.byteLength + 4 * TENSORS);
  file.writeBigUInt64LE(BigInt(json.byteLength));
  file.set(json, 8);
  return file;
}

describe("a checkpoint's file that takes too long is given up, and named", { timeout: 60_000 }, () => {
  const models = new Models(places, { heapMb: 1_024, stuckMs: 50 });
  after(() => models[Symbol.asyncDispose]());
  const refused = failure("failed_precondition", /^reading \/out\/the-file took more than 0\.05 s at a stretch/);
  const ROWS: Record<string, () => Promise<unknown>> = {
    "trainer_state.json": () => models.trainerState(longState(), "/out/the-file", signal),
    "the adapter": () => models.savedAdapter({ file: longHeader(), path: "/out/the-file", targets: [], r: 8 }, signal),
    "training_state.safetensors": () => models.trainingState(longHeader(), 3, "/out/the-file", signal),
  };
  for (const [name, read] of Object.entries(ROWS)) test(name, () => assert.rejects(read(), refused));
});

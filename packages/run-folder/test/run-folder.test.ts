/** What is written into an output folder can be read back, and what was changed is noticed. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { checkedRecipe, defaultRecipe } from "@gradpool/recipe";
import { concat, Cursor } from "@gradpool/rpc";
import {
  checkFileName,
  checkpointName,
  damageOf,
  isCheckpointName,
  isRecoveryName,
  lockBytes,
  lockOf,
  manifestBytes,
  metricsPieces,
  newestByName,
  parseLock,
  parseManifest,
  parseMetrics,
  MAX_TRAINER_STATE_BYTES,
  parseTrainerState,
  placeOf,
  readTrainingState,
  runIdOfMetrics,
  recoveryName,
  trainerStateBytes,
  trainingStateBytes,
  type Manifest,
  type MetricsFacts,
} from "../src/index.js";

const FIXTURE = new URL(
  "../../../../services/checkpoint-store/test/fixtures/tiny-coder-step4/trainer_state.json",
  import.meta.url,
);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const metricsBytes = (facts: MetricsFacts) => concat([...metricsPieces(facts)]);
const bytes = (content: string) => new TextEncoder().encode(content);

const RECIPE = checkedRecipe({ ...defaultRecipe(), epochs: 2, learningRate: 1e-3 });
const STEPS = [1, 2].map((step) => {
  return { step, epoch: 0, loss: 3 / step, gradNorm: 0.5, learningRate: 1e-3, tokens: 100, seconds: 0.25 };
});
const EVALUATIONS = [{ step: 2, epoch: 0, loss: 2, perplexity: Math.exp(2), tokens: 50, seconds: 0.125 }];

const ROW_COUNTS = { rows: 9, rowsCut: 4, rowsWithoutEos: 3, rowsWithoutTarget: 2, stepsWithoutTarget: 1 };

describe("names", () => {
  test("say where a checkpoint is in training, and which is the newest", () => {
    const place = { epoch: 1, step: 12 };
    assert.equal(checkpointName(place), "checkpoint-epoch1-step12");
    assert.equal(recoveryName(place), ".recovery-epoch1-step12");
    for (const name of [checkpointName(place), recoveryName(place)]) {
      assert.ok(isCheckpointName(name));
      assert.deepEqual(placeOf(name), place);
    }
    assert.deepEqual([checkpointName(place), recoveryName(place)].map(isRecoveryName), [false, true]);
    for (const name of ["checkpoint-epoch1-step12x", "checkpoint-12", "..recovery-epoch1-step1"]) {
      assert.ok(!isCheckpointName(name), name);
    }
    const names = ["checkpoint-epoch0-step9", "notes.txt", ".recovery-epoch1-step10", "checkpoint-epoch0-step10"];
    assert.deepEqual(newestByName(names), [
      ".recovery-epoch1-step10",
      "checkpoint-epoch0-step10",
      "checkpoint-epoch0-step9",
    ]);
  });

  test("of files lead nowhere else", () => {
    checkFileName("adapter_config.json");
    for (const name of ["", ".hidden", "a/b", "a\\b", "manifest.json", "checkpoint-epoch0-step1", "a\nb"]) {
      assert.throws(() => checkFileName(name), /cannot be a file's name/, name);
    }
  });
});

describe("manifest.json", () => {
  // The SHA-256 of "moments", by sha256sum.
  const sha256 = "690a8d18f75dfaa79dd8134ac62cdad42fffe0f34cb78dd14e2d3aae3ae83ad3";
  const file = { path: "training_state.safetensors", sizeBytes: 7, sha256 };
  const manifest: Manifest = { runId: "run-1", epoch: 0, step: 4, ownerEpoch: 0, savedAt: new Date(0), files: [file] };

  test("is read as it was written, and guards itself", () => {
    const written = manifestBytes(manifest);
    assert.deepEqual(parseManifest(written), manifest);
    const change = (from: string, to: string) => parseManifest(bytes(text(written).replace(from, to)));
    assert.match(String(change('"step": 4', '"step": 5')), /does not match its own SHA-256/);
    assert.match(String(change('"step": 4', '"step":  4')), /is not as it was written/);
    assert.match(String(change('"step": 4', '"step": -4')), /is wrong at step: /);
    assert.match(String(change("{", "")), /is not valid JSON/);
  });

  test("has its owner's epoch only where runs change hands, so that all before are read as they are", () => {
    assert.ok(!text(manifestBytes(manifest)).includes("owner_epoch"));
    const owned = { ...manifest, ownerEpoch: 3 };
    const written = manifestBytes(owned);
    assert.deepEqual(parseManifest(written), owned);
    const change = (to: string) => parseManifest(bytes(text(written).replace('"owner_epoch": 3', to)));
    assert.match(String(change('"owner_epoch": 4')), /does not match its own SHA-256/);
    assert.match(String(change('"owner_epoch": 0')), /is wrong at owner_epoch: /);
  });

  test("names no file outside of its checkpoint, and none twice", () => {
    const withFiles = (...files: Manifest["files"]) => parseManifest(manifestBytes({ ...manifest, files }));
    assert.match(String(withFiles({ ...file, path: "../x" })), /names a file outside of the checkpoint/);
    assert.match(String(withFiles(file, file)), /names a file twice/);
  });

  test("tells a file's damage", () => {
    assert.equal(damageOf(file, bytes("moments")), "");
    assert.match(damageOf(file, bytes("momentz")), /does not match its SHA-256/);
    assert.match(damageOf(file, bytes("moment")), /has 6 bytes instead of 7/);
  });
});

describe("trainer_state.json", () => {
  const receipt = {
    ...{ model: "m", tokenizer: "t", dataset: ["d"], dataset_hash: "h", eval_dataset: ["e"], eval_dataset_hash: "i" },
    ...{ device_class: "cpu-x64", runtime: "ORT" },
  };
  const facts = {
    ...{ runId: "run-1", recipe: RECIPE, totalSteps: 5, receipt, steps: STEPS, evaluations: EVALUATIONS },
    ...{ evaluationPending: true, cursor: Cursor.fromPartial({ epoch: 1, rows: 7 }) },
    lossScaling: { scale: 1024, goodSteps: 1, skippedSteps: [1] },
    ...{ continuedRunIds: ["run-0"], nextLearningRate: 0.5 },
    rowCounts: ROW_COUNTS,
  };

  test("is read as it was written", () => {
    const { recipe, ...state } = { ...facts, epoch: 0, step: 2 };
    const read = parseTrainerState(trainerStateBytes(facts));
    assert.ok(typeof read === "object");
    const { recipe: written, ...others } = read;
    assert.deepEqual(others, state);
    assert.equal((written["lora"] as { r: number }).r, recipe.lora.r);
    assert.equal(written["learning_rate"], recipe.learningRate);
  });

  test("of an earlier version is read, and one with steps that do not add up refused", async () => {
    const earlier = parseTrainerState(await readFile(FIXTURE));
    assert.ok(typeof earlier === "object", String(earlier));
    assert.equal(earlier.steps.length, 4);
    assert.deepEqual(Object.values(earlier.rowCounts), [0, 0, 0, 0, 0]);
    const wrong = text(trainerStateBytes(facts)).replace('"step": 2', '"step": 3');
    assert.match(String(parseTrainerState(bytes(wrong))), /has 2 steps instead of 3/);
    assert.match(String(parseTrainerState(bytes("null"))), /is wrong at its top/);
    const large = new Uint8Array(MAX_TRAINER_STATE_BYTES + 1);
    assert.match(
      String(parseTrainerState(large)),
      /^trainer_state\.json has 268435457 bytes, where 268435456 are read$/,
    );
  });
});

test("metrics.json is read as it was written, null standing for what is not a number", () => {
  const heldOut = { evalDataset: ["e"], evaluations: EVALUATIONS, resultStep: 2 };
  const made = { heldOut, rowCounts: ROW_COUNTS, lossScaling: undefined };
  const facts = { runId: "run-1", runName: "", tags: [], modelId: "m", dataset: ["d"], recipe: RECIPE, ...made };
  const written = text(metricsBytes({ ...facts, steps: STEPS }));
  assert.equal(written, `${JSON.stringify(JSON.parse(written), undefined, 2)}\n`);
  assert.equal(runIdOfMetrics(bytes(written.slice(0, 100))), "run-1");
  assert.equal(runIdOfMetrics(bytes('{"model_id": "m"}')), undefined);
  const read = parseMetrics(bytes(written));
  assert.ok(typeof read === "object", String(read));
  const { recipe: _, ...others } = read;
  const expected = { runId: "run-1", runName: "", modelId: "m", dataset: ["d"], evalDataset: ["e"] };
  assert.deepEqual(others, { ...expected, steps: STEPS, evaluations: EVALUATIONS });
  const named = text(metricsBytes({ ...facts, runName: "nightly", tags: ["a", "b"], steps: [] }));
  assert.deepEqual(JSON.parse(named), {
    ...JSON.parse(text(metricsBytes({ ...facts, steps: [] }))),
    run_name: "nightly",
    tags: ["a", "b"],
  });
  assert.equal((parseMetrics(bytes(named)) as { runName: string }).runName, "nightly");
  assert.equal(runIdOfMetrics(bytes(named)), "run-1");
  assert.deepEqual((JSON.parse(written) as { totals: object }).totals, {
    ...{ steps: 2, tokens: 200, seconds: 0.5, duration: "0:00:01" },
  });
  for (const count of [0, 1, 100, 101, 250]) {
    const steps = Array.from({ length: count }, (_, i) => ({ ...STEPS[0]!, step: i + 1 }));
    const long = text(metricsBytes({ ...facts, dataset: ['\n  "steps": []'], steps }));
    assert.equal(long, `${JSON.stringify(JSON.parse(long), undefined, 2)}\n`, `${count} steps`);
    assert.equal((JSON.parse(long) as { steps: object[] }).steps.length, count);
  }
  assert.deepEqual((JSON.parse(written) as { row_counts: object }).row_counts, {
    ...{ rows: 9, rows_cut: 4, rows_without_eos: 3, rows_without_target: 2, steps_without_target: 1 },
  });
  const infinite = parseMetrics(metricsBytes({ ...facts, steps: [{ ...STEPS[0]!, loss: NaN }] }));
  assert.ok(typeof infinite === "object" && Number.isNaN(infinite.steps[0]?.loss));
});

test("training_state.safetensors keeps the moments and the best adapter", () => {
  const tensor = (...data: number[]) => ({ shape: [data.length], data: new Float32Array(data) });
  const moments = new Map([["a", { expAvg: new Float32Array([1, 2]), expAvgSq: new Float32Array([3, 4]) }]]);
  const tensors = { adapter: new Map([["a", tensor(5, 6)]]), best: new Map([["a", tensor(7, 8)]]) };
  const file = trainingStateBytes({ ...tensors, optimizer: { step: 9, moments } }, 9);
  assert.deepEqual(readTrainingState(file, 9, "x"), { optimizer: { step: 9, moments }, best: tensors.best });
});

test("a lock says which run has the folder, and a torn one nothing", () => {
  const lock = lockOf("run-1", "store");
  assert.deepEqual(parseLock(text(lockBytes(lock))), lock);
  assert.equal(lock.pid, process.pid);
  assert.equal(parseLock(text(lockBytes(lock)).slice(0, 20)), undefined);
});

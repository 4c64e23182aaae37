/** Whole runs with trainers on WebGPU: `make test-webgpu`. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  fingerprint,
  gradpool,
  killAtStep,
  Stack,
  TEST_DEVICE,
  TINY_CODER,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";
import { RunState } from "@gradpool/rpc";

const skip = TEST_DEVICE.gpu ? false : "is a part of make test-webgpu";
/** Also where it is the processor. */
const WEBGPU = "webgpu:0";
const LOSS_TOLERANCE = 1e-5;

/** Rows of one length, so that shaders are compiled once. */
const RECIPE = [
  "--epochs",
  "2",
  "--max_length",
  "32",
  "--packing",
  "--batch_size",
  "2",
  "--gradient_accumulation",
  "1",
  "--learning_rate",
  "1e-3",
];

/** That a result's newest checkpoint names. */
async function deviceClass(outputDir: string): Promise<string> {
  const checkpoint =
    (await readdir(outputDir))
      .filter((name) => name.startsWith("checkpoint-"))
      .sort()
      .at(-1) ?? "";
  const state = JSON.parse(await readFile(join(outputDir, checkpoint, "trainer_state.json"), "utf8")) as {
    receipt: { device_class: string };
  };
  return state.receipt.device_class;
}

describe("with trainers on WebGPU", { skip, timeout: 3_600_000 }, () => {
  test("a run has the processor's losses, and the same bits when it is killed and resumed", async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(8);
    const home = workspace.path("home");
    const command = (out: string, device: string) => [
      ...["train", "--model_id", TINY_CODER, "--dataset", dataset, "--output_dir", workspace.path(out), ...RECIPE],
      ...["--device", device, "--recovery_seconds", "0.01", "--resume_from", "latest"],
    ];
    for (const [out, device] of [
      ["processor", "cpu"],
      ["whole", WEBGPU],
    ] as const) {
      const { code, stderr } = await gradpool(command(out, device), home);
      assert.equal(code, 0, stderr);
    }
    const [here, there] = [await fingerprint(workspace.path("processor")), await fingerprint(workspace.path("whole"))];
    assert.ok(there.losses.length >= 4);
    for (const [step, [loss = NaN]] of there.losses.entries()) {
      const expected = here.losses[step]?.[0] ?? NaN;
      assert.ok(Math.abs(loss / expected - 1) <= LOSS_TOLERANCE, `step ${step + 1}: ${loss} instead of ${expected}`);
    }
    assert.notEqual(there.adapter, here.adapter);

    await killAtStep([...command("killed", WEBGPU), "--json"], home, 2);
    const { code, stdout, stderr } = await gradpool(command("killed", WEBGPU), home);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /resumed from/);
    assert.deepEqual(await fingerprint(workspace.path("killed")), there);

    assert.match(await deviceClass(workspace.path("whole")), /^webgpu-vulkan-/);
  });

  test("a mixed pool keeps each run on the device that served it first, and gives other runs to the others", async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(6);
    const runOn = (out: string) =>
      tinyRun(dataset, workspace.path(out), { batchSize: 2, gradientAccumulation: 1, maxLength: 32, packing: true });
    await using stack = await Stack.start({ trainers: 1, trainerEnv: { GRADPOOL_DEVICE: "cpu" } });
    const first = await stack.submit(runOn("first"));
    // The processor's trainer goes in the middle of the first run, and one on WebGPU comes.
    let tellGone = () => {};
    const gone = new Promise<void>((resolve) => (tellGone = resolve));
    const followed = stack.watch(first.runId, async ({ step }) => {
      if (step !== 1) return;
      await stack.killTrainer();
      tellGone();
    });
    await gone;
    await stack.addTrainer(1, { GRADPOOL_DEVICE: WEBGPU });
    await stack.train(runOn("second"));
    assert.match(await deviceClass(workspace.path("second")), /^webgpu-vulkan-/);
    const { run } = await stack.runs.getRun({ runId: first.runId });
    assert.equal(run?.state, RunState.RUN_STATE_RUNNING, "it waits for the processor");
    await stack.addTrainer(1, { GRADPOOL_DEVICE: "cpu" });
    assert.equal((await followed).run.state, RunState.RUN_STATE_COMPLETED);
    assert.match(await deviceClass(workspace.path("first")), /^cpu-/);
  });
});

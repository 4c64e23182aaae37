/** Whole runs with trainers on WebGPU: `make test-webgpu`. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  BIN,
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

/** Of all stacks that this home had. */
async function trainerLogs(home: string): Promise<string> {
  const files = await readdir(join(home, "logs"), { recursive: true });
  const logs = files.filter((name) => /trainer.*\.log$/.test(name));
  return (await Promise.all(logs.map((name) => readFile(join(home, "logs", name), "utf8")))).join("");
}

/** A driver over the one in use, with limits and losses that the environment asks for: see scripts/vulkan-shim.c. */
function shimIn(folder: string): string {
  const shim = fileURLToPath(new URL("../../../scripts/vulkan-shim.sh", import.meta.url));
  const driver = process.env["VK_DRIVER_FILES"] ?? assert.fail();
  return execFileSync(shim, [folder, driver], { encoding: "utf8" }).trim();
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

  test("a lost GPU costs a restart of its trainer, and no bit", async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(3);
    const home = workspace.path("home");
    const command = (out: string) => [
      ...["train", "--model_id", TINY_CODER, "--dataset", dataset, "--output_dir", workspace.path(out), ...RECIPE],
      ...["--device", WEBGPU, "--json"],
    ];
    const whole = await gradpool(command("whole"), home);
    assert.equal(whole.code, 0, whole.stderr);
    const SHIM_LOST = workspace.path("lost");
    const env = { ...process.env, GRADPOOL_HOME: home, VK_DRIVER_FILES: shimIn(workspace.dir), SHIM_LOST };
    const child = spawn(process.execPath, [BIN, ...command("disturbed")], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    let isLost = false;
    for await (const line of createInterface({ input: child.stdout })) {
      if (isLost || (JSON.parse(line) as { event?: string }).event !== "step") continue;
      isLost = true;
      await writeFile(SHIM_LOST, "");
      while (!(await trainerLogs(home)).includes("the GPU was lost")) await delay(100);
      await rm(SHIM_LOST);
    }
    assert.deepEqual(await exited, [0, null]);
    assert.ok(isLost);
    assert.deepEqual(await fingerprint(workspace.path("disturbed")), await fingerprint(workspace.path("whole")));
  });

  test("a run whose logits fit into no buffer of the GPU is refused with both sizes", async () => {
    await using workspace = await Workspace.create();
    // 192 × 127 targets with 4,096 logits each. 256 MiB is the least that WebGPU guarantees.
    const text = Array.from({ length: 40_000 }, (_, i) => `word${i}`).join(" ");
    await writeFile(workspace.path("rows.jsonl"), `${JSON.stringify({ content: text })}\n`);
    const command = [
      ...["train", "--model_id", TINY_CODER, "--dataset", workspace.path("rows.jsonl"), "--max_length", "128"],
      ...["--packing", "--batch_size", "192", "--gradient_accumulation", "1", "--max_steps", "1"],
      ...["--output_dir", workspace.path("out"), "--device", WEBGPU],
    ];
    const VK_DRIVER_FILES = shimIn(workspace.dir);
    const { code, stderr } = await gradpool(command, workspace.path("home"), {
      ...{ VK_DRIVER_FILES, SHIM_BUFFER: String(2 ** 28) },
    });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^gradpool: the logits of a micro-batch take 399\.5 MB in one buffer, and no GPU of the pool has one above 268\.4 MB; lower batch_size, /m,
    );
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

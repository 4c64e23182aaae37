/** `gradpool train` itself is killed, twice; `--resume_from latest` continues, and the result is as if nothing had happened (I2). */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { BIN, fingerprint, gradpool, TINY_CODER, Workspace } from "@gradpool/integration-tests";

/** Runs a command until it reports the step, then kills it. */
async function killAtStep(args: readonly string[], home: string, step: number): Promise<void> {
  const env = { ...process.env, GRADPOOL_HOME: home };
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as { event?: string; step?: number };
    if (report.event === "step" && (report.step ?? 0) >= step) break;
  }
  child.kill("SIGKILL");
  await exited;
}

test("a train command is killed and run again", { timeout: 300_000 }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(100);
  const home = workspace.path("home");
  const recipe = [
    "--epochs",
    "2",
    "--max_length",
    "64",
    "--packing",
    "--shuffle_buffer",
    "8",
    "--learning_rate",
    "1e-3",
  ];
  const command = (out: string) => [
    ...["train", "--model_id", TINY_CODER, "--dataset", dataset, "--output_dir", workspace.path(out), ...recipe],
    ...["--recovery_seconds", "0.01", "--resume_from", "latest"],
  ];
  const whole = await gradpool(command("whole"), home);
  assert.equal(whole.code, 0, whole.stderr);
  assert.match(whole.stdout, /there is no checkpoint in .*whole; starting from scratch/);

  for (const step of [3, 6]) await killAtStep([...command("killed"), "--json"], home, step);
  const last = await gradpool(command("killed"), home);
  assert.equal(last.code, 0, last.stderr);
  assert.match(last.stdout, /resumed from \.recovery-epoch\d-step\d+: epoch \d, step \d+ of \d+/);
  assert.deepEqual(await fingerprint(workspace.path("killed")), await fingerprint(workspace.path("whole")));
});

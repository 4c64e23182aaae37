/** `gradpool train` itself is killed, twice; `--resume_from latest` continues, and the result is as if nothing had happened (I2). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fingerprint, gradpool, killAtStep, TINY_CODER, Workspace } from "@gradpool/integration-tests";

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

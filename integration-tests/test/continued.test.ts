/** A finished run that gets more epochs, beside transformers' Trainer (fixtures/continued, made by make_continued.py there). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Golden, goldenArguments, gradpool, TOLERANCE, Workspace, type GoldenStep } from "@gradpool/integration-tests";

type Step = Pick<GoldenStep, "step" | "loss" | "learning_rate">;

const FIXTURE = fileURLToPath(new URL("../../fixtures/continued/continued.json", import.meta.url));
const { cases } = JSON.parse(readFileSync(FIXTURE, "utf8")) as { cases: Record<string, Step[]> };

for (const [scheduler, expected] of Object.entries(cases)) {
  test(`one more epoch has transformers' losses and learning rates: ${scheduler}`, async () => {
    await using workspace = await Workspace.create();
    const out = workspace.path("out");
    const golden = new Golden("gpt2-codeparrot");
    const train = async (epochs: number, ...more: string[]) => {
      const flags = goldenArguments(golden, { output_dir: out, lr_scheduler: scheduler, epochs });
      const { code, stdout, stderr } = await gradpool(["train", ...flags, ...more], workspace.path("home"));
      assert.equal(code, 0, stderr);
      return stdout;
    };
    await train(1);
    const said = await train(2, "--resume_from", "latest");
    assert.equal(
      /as in transformers, step \d+ still has the old schedule's/.test(said),
      scheduler !== "constant",
      said,
    );
    const { steps } = JSON.parse(readFileSync(`${out}/metrics.json`, "utf8")) as { steps: Step[] };
    assert.equal(steps.length, expected.length);
    for (const [i, { step, loss, learning_rate: rate }] of expected.entries()) {
      const actual = steps[i]!;
      assert.equal(actual.step, step);
      assert.ok(Math.abs(actual.learning_rate - rate) <= 1e-15, `step ${step}: ${actual.learning_rate}, not ${rate}`);
      assert.ok(Math.abs(actual.loss / loss - 1) <= TOLERANCE.loss, `step ${step}: loss ${actual.loss}, not ${loss}`);
    }
  });
}

/** Two runs of the same recipe, compared bit for bit (I2). */
import assert from "node:assert/strict";
import { RunState } from "@gradpool/rpc";
import type { Ended, RecipeChanges, World } from "./world.js";

const losses = ({ steps }: Ended) => steps.map(({ loss, gradNorm }) => [loss, gradNorm]);

/** Trains alone on one trainer into `name`, for comparison. */
export async function trainAlone(world: World, name: string, recipe: RecipeChanges): Promise<Ended> {
  await using trainer = await world.trainer({ trainerId: `only-${name}` });
  const ended = await world.train(world.spec({ outputDir: world.outputDir(name) }, recipe));
  assert.equal(ended.run.state, RunState.RUN_STATE_COMPLETED, ended.run.error?.message);
  assert.ok(trainer.accepted.length > 0);
  return ended;
}

const FILES = ["adapter_model.safetensors", "training_state.safetensors", "README.md"];

/** Adapter and Adam state of two runs have the same bytes, and their steps the same numbers. */
export function assertSame(
  world: World,
  [a, first]: [string, Ended],
  [b, second]: [string, Ended],
  files: readonly string[] = FILES,
): void {
  assert.equal(second.run.state, RunState.RUN_STATE_COMPLETED, second.run.error?.message);
  const last = first.steps.at(-1) ?? assert.fail();
  const checkpoint = `checkpoint-epoch${last.epoch}-step${last.step}`;
  for (const file of files) {
    assert.deepEqual(world.output(b, checkpoint, file), world.output(a, checkpoint, file), file);
  }
  assert.deepEqual(losses(second), losses(first));
}

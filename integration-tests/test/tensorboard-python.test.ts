/** A run's event file, read by Python's TensorBoard. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { gradpool, TINY_CODER, Workspace } from "@gradpool/integration-tests";
import { lacksPython, python } from "../src/python.js";

const READ = `
import json, os
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(os.environ["FOLDER"], size_guidance={"scalars": 0}).Reload()
scalars = {tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
print(json.dumps(scalars))`;

interface Metrics {
  steps: { step: number; loss: number; grad_norm: number; learning_rate: number; tokens: number; seconds: number }[];
  evaluations: { step: number; loss: number; perplexity: number; seconds: number }[];
}

type Scalars = Record<string, [step: number, wallTime: number, value: number][]>;

test(
  "TensorBoard shows each step once, even after a run was resumed",
  { skip: await lacksPython("tensorboard"), timeout: 300_000 },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(32);
    const args = ["--model_id", TINY_CODER, "--dataset", dataset, "--eval_dataset", await workspace.dataset(5)];
    const train = (folder: string, ...more: string[]) =>
      gradpool(
        ["train", ...args, "--output_dir", workspace.path(folder), "--epochs=2", "--save_every=2", ...more],
        workspace.path("home"),
      );
    const first = await train("first", "--warmup_steps=2");
    assert.equal(first.code, 0, first.stderr);
    const checkpoint = (await readdir(workspace.path("first"))).find((name) => name.endsWith("-step4"));
    assert.ok(checkpoint);
    const second = await train("second", "--warmup_steps=2", "--resume_from", workspace.path("first", checkpoint));
    assert.equal(second.code, 0, second.stderr);

    const times: number[] = [];
    for (const folder of ["first", "second"]) {
      const scalars = (await python(READ, { FOLDER: workspace.path(folder) })) as Scalars;
      const metrics = JSON.parse(await readFile(workspace.path(folder, "metrics.json"), "utf8")) as Metrics;
      assertShows(scalars, metrics);
      times.push(scalars["train/loss"]?.at(-1)?.[1] ?? NaN);
    }
    const now = Date.now() / 1000;
    for (const time of times) assert.ok(time > now - 600 && time < now, `a step of ${time}, and it is ${now}`);
  },
);

/** Values come back as float32, the type in event files. */
function assertShows(scalars: Scalars, { steps, evaluations }: Metrics): void {
  const expected = {
    "train/loss": steps.map(({ step, loss }) => [step, loss]),
    "train/grad_norm": steps.map(({ step, grad_norm: norm }) => [step, norm]),
    // The first learning rate of a warm-up is 0.
    "train/learning_rate": steps.map(({ step, learning_rate: rate }) => [step, rate]),
    "train/tokens_per_second": steps.map(({ step, tokens, seconds }) => [step, tokens / seconds]),
    "eval/loss": evaluations.map(({ step, loss }) => [step, loss]),
    "eval/perplexity": evaluations.map(({ step, perplexity }) => [step, perplexity]),
  };
  assert.deepEqual(Object.keys(scalars).sort(), Object.keys(expected).sort());
  for (const [tag, points] of Object.entries(expected)) {
    assert.ok(points.length > 0, tag);
    assert.deepEqual(
      scalars[tag]?.map(([step, , value]) => [step, value]),
      points.map(([step, value = NaN]) => [step, Math.fround(value)]),
      tag,
    );
  }
}

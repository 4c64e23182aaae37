/** Several runs at once share trainers and base, and do not affect one another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";
import type { RunSpec } from "@gradpool/rpc";

test("three runs of different ranks, lengths and batch sizes: each gives the same bytes as alone", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(60);
  await using stack = await Stack.start({ trainers: 2 });
  const specs = (where: string): RunSpec[] => [
    tinyRun(dataset, workspace.path(`${where}-a`), { batchSize: 2, maxLength: 48 }, { r: 4 }),
    tinyRun(dataset, workspace.path(`${where}-b`), { batchSize: 5, maxLength: 96, gradientAccumulation: 3 }, { r: 16 }),
    tinyRun(
      dataset,
      workspace.path(`${where}-c`),
      { batchSize: 1, maxLength: 32, packing: true },
      { r: 8, useRslora: true },
    ),
  ];

  for (const spec of specs("alone")) await stack.train(spec);

  // At some moment every run has made a step and none has finished: they ran at the same time.
  const seen = new Map<number, number>();
  let allAdvanced = false;
  await Promise.all(
    specs("together").map((spec, i) =>
      stack.train(spec, ({ step }) => {
        seen.set(i, step);
        allAdvanced ||= seen.size === 3 && [...seen.values()].every((done) => done < 12);
      }),
    ),
  );
  assert.ok(allAdvanced, "all three were under way at the same time");

  for (const messages of stack.trainerLogs) {
    const loads = messages.filter((message) => message === "loading a base model");
    assert.equal(loads.length, 1, "one session for all six runs (I9)");
  }

  for (const name of ["a", "b", "c"]) {
    const together = await fingerprint(workspace.path(`together-${name}`));
    assert.deepEqual(together, await fingerprint(workspace.path(`alone-${name}`)), name);
  }
});

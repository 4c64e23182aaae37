/**
 * A pool whose runs are in PostgreSQL: whatever is killed in the middle of a run, coordinator or database, and after a failover to a
 * standby, the result is the same to the bit as on SQLite (I2), and no step is lost or repeated (I4).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventType, WatchEventsRequest } from "@gradpool/rpc";
import {
  fingerprint,
  postgresPrograms,
  PostgresServer,
  quietFingerprint,
  Stack,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";

const { skip } = await postgresPrograms();

test("runs in PostgreSQL survive the loss of coordinator and databases", { skip, timeout: 600_000 }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(60);
  const whole = await quietFingerprint(
    workspace,
    tinyRun(dataset, workspace.path("whole"), { gradientAccumulation: 1 }),
  );
  assert.ok(whole.losses.length >= 10);

  await using primary = await PostgresServer.start();
  await using standby = await primary.standby();
  const runStore = primary.url("postgres", [standby]);
  await using stack = await Stack.start({ trainers: 1, runStore, recoverySeconds: 0.2 });
  const disturbances = new Map<number, () => Promise<void>>([
    [2, () => stack.restartCoordinator()],
    [
      4,
      async () => {
        await primary.kill();
        await primary.start();
      },
    ],
    [
      7,
      async () => {
        await primary.kill();
        await standby.promote();
      },
    ],
  ]);
  const disturbed: Promise<void>[] = [];
  const { steps, run } = await stack.train(
    tinyRun(dataset, workspace.path("disturbed"), { gradientAccumulation: 1 }),
    ({ step }) => {
      const disturb = disturbances.get(step);
      disturbances.delete(step);
      if (disturb) disturbed.push(disturb());
    },
  );
  await Promise.all(disturbed);
  assert.equal(disturbed.length, 3);
  assert.deepEqual(
    steps.map(({ step }) => step),
    whole.losses.map((_, i) => i + 1),
  );
  assert.deepEqual(await fingerprint(workspace.path("disturbed")), whole);
  const reported: number[] = [];
  const wanted = { ...WatchEventsRequest.create(), runIds: [run.runId], types: [EventType.EVENT_TYPE_RUN_STEP] };
  for await (const { event } of stack.events.watchEvents(wanted)) {
    if (event?.payload?.$case === "runStep") reported.push(event.payload.value.step);
  }
  assert.deepEqual(
    reported,
    steps.map(({ step }) => step),
  );
  const [log = ""] = await standby.query(
    "SELECT count(*) || ' of ' || max(newest) FROM gradpool.event_log, gradpool.events",
  );
  const [count, newest] = log.split(" of ");
  assert.equal(count, newest, "positions of events have gaps");
});

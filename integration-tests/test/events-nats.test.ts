/**
 * NATS stopped, killed and wiped, and the coordinator killed in between: no run is affected, and each event arrives
 * once (I6, I2).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { STREAM_CONFIG, subjectOf } from "@gradpool/events";
import { RunState, type Event } from "@gradpool/rpc";
import {
  deployTool,
  fingerprint,
  NatsServer,
  recordedEvents,
  Stack,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";

const { skip } = await deployTool("nats-server");

/** The stream as we create it, except that it accepts the same message id again after a tenth of a second. */
async function makeForgetfulStream({ url }: NatsServer): Promise<void> {
  const connection = await connect({ servers: url });
  const { streams } = await jetstreamManager(connection);
  await streams.add({ ...STREAM_CONFIG, duplicate_window: 100_000_000 });
  await connection.close();
}

const isCompleted = (runId: string) => (stored: { event: Event }) =>
  stored.event.runId === runId && stored.event.payload?.$case === "runCompleted";

const stepsIn = (events: readonly Event[], runId: string) =>
  events.flatMap((event) =>
    event.runId === runId && event.payload?.$case === "runStep" ? [event.payload.value.step] : [],
  );

test(
  "a run while NATS keeps failing: the same bytes, and each event once, in order",
  { timeout: 600_000, skip },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(200);
    await using nats = await NatsServer.start(workspace.path("nats"));
    await makeForgetfulStream(nats);
    const runStore = workspace.path("runs.sqlite");
    await using stack = await Stack.start({ trainers: 2, runStore, recoverySeconds: 0.2, natsUrl: nats.url });
    const whole = await stack.train(tinyRun(dataset, workspace.path("whole"), { epochs: 2 }));
    const last = whole.steps.length;
    assert.ok(last >= 40, `${last} steps are too few`);

    const storm: Record<number, () => Promise<void> | void> = {
      4: () => nats.suspend(),
      8: () => nats.resume(),
      10: () => stack.restartCoordinator(),
      16: () => nats.kill(),
      20: () => stack.restartCoordinator(),
      24: () => nats.start(),
      30: async () => {
        await nats.kill();
        await nats.wipe();
      },
      34: () => nats.start(),
      38: () => nats.suspend(),
    };
    const { runId } = await stack.submit(tinyRun(dataset, workspace.path("stormy"), { epochs: 2 }));
    const stormy = await stack.watch(runId, async ({ step }) => storm[step]?.());
    assert.equal(stormy.run.state, RunState.RUN_STATE_COMPLETED, stormy.run.error?.message);
    assert.deepEqual(await fingerprint(workspace.path("stormy")), await fingerprint(workspace.path("whole")));
    nats.resume();

    const stored = await nats.eventsWith(isCompleted(runId));
    const ids = stored.map(({ messageId }) => messageId);
    assert.equal(new Set(ids).size, ids.length, "an event is there twice");
    const kept = await recordedEvents(stack.events);
    assert.deepEqual(
      ids,
      kept.map(({ eventId }) => eventId),
      "the stream lacks an event, or has them in another order",
    );
    for (const id of [whole.run.runId, runId]) {
      const sequence = kept.filter((event) => event.runId === id).map(({ runSequence }) => runSequence);
      assert.deepEqual(
        sequence,
        sequence.map((_, i) => i + 1),
      );
      assert.deepEqual(
        stepsIn(kept, id),
        Array.from({ length: last }, (_, i) => i + 1),
        "each step once, even those that were computed again",
      );
    }
    for (const { event, subject, messageId } of stored) {
      assert.equal(messageId, event.eventId);
      assert.equal(subject, subjectOf(event));
    }
  },
);

test(
  "a user with a password, a NATS that starts late, and a coordinator that stops: nothing is lost",
  { skip },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(20);
    await using nats = await NatsServer.start(workspace.path("nats"), ["--user", "pool", "--pass", "s3cret!"]);
    await nats.kill();
    const natsUrl = nats.url.replace("nats://", "nats://pool:s3cret!@");
    const runStore = workspace.path("runs.sqlite");
    await using stack = await Stack.start({ trainers: 1, runStore, natsUrl });
    const { run } = await stack.train(tinyRun(dataset, workspace.path("out")));
    await nats.start();
    await nats.eventsWith(isCompleted(run.runId), { user: "pool", pass: "s3cret!" });
    const log = stack.coordinatorLog.join("\n");
    assert.match(log, /cannot publish events to NATS/);
    assert.match(log, /publishing events to NATS/);
    assert.doesNotMatch(log, /s3cret/);
  },
);

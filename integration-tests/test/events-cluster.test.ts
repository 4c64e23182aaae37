/** A NATS cluster that loses a server, also the one that leads the stream: each event arrives once, in order (I6). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { GradpoolError } from "@gradpool/errors";
import { JetStream, natsOptions, STREAM, STREAM_CONFIG } from "@gradpool/events";
import { deployTool, NatsCluster, NatsServer, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";
import { RunState, type Event } from "@gradpool/rpc";

const { skip } = await deployTool("nats-server");

const stepOf = (runId: string, position: number): Event => ({
  ...{ eventId: `abc-${position}`, runSequence: position, time: new Date(position), runId },
  ...{ runName: "", trainerId: "", traceparent: "" },
  payload: { $case: "runCancelled", value: { step: position } },
});

test(
  "a run while the stream's leader is killed, and another server after it is back",
  { timeout: 600_000, skip },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(120);
    await using cluster = await NatsCluster.start(workspace.path("nats"));
    const runStore = workspace.path("runs.sqlite");
    await using stack = await Stack.start({ trainers: 1, runStore, natsUrl: cluster.url });
    let lost: NatsServer | undefined;
    const storm: Record<number, () => Promise<void>> = {
      5: async () => {
        const { leader, replicas } = await cluster.stream();
        assert.equal(replicas, 3);
        lost = leader;
        await leader.kill();
      },
      16: async () => lost?.start(),
      20: async () => {
        const another = cluster.servers.find((server) => server !== lost);
        await another?.kill();
      },
    };
    const recipe = { batchSize: 4, gradientAccumulation: 1, maxLength: 48 };
    const { runId } = await stack.submit(tinyRun(dataset, workspace.path("out"), recipe));
    const { run, steps } = await stack.watch(runId, async ({ step }) => storm[step]?.());
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.ok(steps.length >= 24, `${steps.length} steps are too few`);

    const isEnd = ({ event }: { event: Event }) => event.payload?.$case === "runCompleted";
    assert.ok(lost);
    const stored = await lost.eventsWith(isEnd);
    assert.deepEqual(
      stored.map(({ messageId }) => Number(messageId.split("-")[1])),
      stored.map((_, i) => i + 1),
      "each event once, in order",
    );
    const made = stored.flatMap(({ event: { payload } }) => (payload?.$case === "runStep" ? [payload.value.step] : []));
    assert.deepEqual(
      made,
      steps.map(({ step }) => step),
    );
  },
);

test("of two publishers, one that was suspended stores no event a second time, however late", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"));
  const connection = await connect({ servers: nats.url });
  const { streams } = await jetstreamManager(connection);
  // It accepts the same message id again after a tenth of a second.
  await streams.add({ ...STREAM_CONFIG, duplicate_window: 100_000_000 });
  const options = natsOptions({ NATS_URL: nats.url }) ?? assert.fail();
  await using suspended = await JetStream.connect(options);
  await using successor = await JetStream.connect(options);
  await suspended.publish(stepOf("a", 1));
  for (const event of [stepOf("a", 1), stepOf("a", 2), stepOf("b", 3)]) await successor.publish(event);
  await delay(200);
  await assert.rejects(suspended.publish(stepOf("a", 2)), (error) => {
    assert.ok(error instanceof GradpoolError && error.code === "unavailable");
    assert.match(error.message, /the stream GRADPOOL is not as it was: another publisher is at work/);
    return true;
  });
  // On a subject that it has not used, it sees what is there.
  await suspended.publish(stepOf("b", 3));
  // After the failure it begins again with another connection.
  await using again = await JetStream.connect(options);
  const covers = (position: number) => (newest: string) => Number(newest.split("-")[1]) >= position;
  for (const position of [1, 2]) await again.publish(stepOf("a", position), covers(position));
  await again.publish(stepOf("a", 4), covers(4));
  const { state } = await streams.info(STREAM);
  assert.equal(state.messages, 4);
  await connection.close();
});

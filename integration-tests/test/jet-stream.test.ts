/** The only file that uses NATS, on a real server: what is stored, what is stored once, and what is detected. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { GradpoolError } from "@gradpool/errors";
import { JetStream, natsOptions, STREAM, STREAM_CONFIG, type NatsOptions } from "@gradpool/events";
import type { Event } from "@gradpool/rpc";
import { deployTool, gradpool, NatsServer, TINY_CODER, Workspace } from "@gradpool/integration-tests";

const { skip } = await deployTool("nats-server");

const optionsOf = ({ url }: NatsServer): NatsOptions => natsOptions({ NATS_URL: url }) ?? assert.fail();

const stepAt = (position: number, traceparent = ""): Event => ({
  ...{
    eventId: `abc-${position}`,
    runSequence: position,
    time: new Date(position),
    runId: "run-1",
    runName: "",
    trainerId: "",
  },
  traceparent,
  payload: { $case: "runCancelled", value: { step: position } },
});

/** Actions of a NATS administrator. */
async function administer(
  { url }: NatsServer,
  work: (manager: Awaited<ReturnType<typeof jetstreamManager>>) => unknown,
) {
  const connection = await connect({ servers: url });
  await work(await jetstreamManager(connection));
  await connection.close();
}

function unavailable(text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GradpoolError);
    assert.equal(error.code, "unavailable");
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

test("an event is stored once under its id, with its trace context", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"));
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await using stream = await JetStream.connect(optionsOf(nats));
  assert.equal(await stream.newestLike(stepAt(1)), undefined);
  for (const event of [stepAt(1, traceparent), stepAt(1, traceparent), stepAt(2)]) await stream.publish(event);
  assert.equal(await stream.newestLike(stepAt(1)), "abc-2");
  const stored = await nats.events();
  assert.deepEqual(
    stored.map(({ event, messageId, traceparent: carried }) => [event, messageId, carried]),
    [
      [stepAt(1, traceparent), "abc-1", traceparent],
      [stepAt(2), "abc-2", ""],
    ],
  );
  await using again = await JetStream.connect(optionsOf(nats));
  assert.equal(again.streamCreated, stream.streamCreated);
});

test("a stream that was deleted or recreated is detected", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"));
  await using stream = await JetStream.connect(optionsOf(nats));
  await stream.publish(stepAt(1));
  await administer(nats, ({ streams }) => streams.delete(STREAM));
  await assert.rejects(stream.publish(stepAt(2)), unavailable(/^cannot publish events to NATS: /));
  await administer(nats, ({ streams }) => streams.add(STREAM_CONFIG));
  await assert.rejects(stream.publish(stepAt(2)), unavailable(/was recreated/));
  await using other = await JetStream.connect(optionsOf(nats));
  assert.notEqual(other.streamCreated, stream.streamCreated);
  await nats.kill();
  await assert.rejects(other.closed, unavailable(/^cannot publish events to NATS: /));
});

test("another stream on our subjects, and a wrong password, are reported in one line", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"));
  await administer(nats, ({ streams }) => streams.add({ name: "OTHER", subjects: ["gradpool.>"] }));
  await assert.rejects(JetStream.connect(optionsOf(nats)), unavailable(/overlap/));
  await using guarded = await NatsServer.start(workspace.path("guarded"), ["--user", "pool", "--pass", "right"]);
  const wrong = { ...optionsOf(guarded), user: "pool", password: "wr0ng" };
  await assert.rejects(JetStream.connect(wrong), (error) => {
    assert.doesNotMatch(String(error), /wr0ng/);
    return unavailable(/authorization/i)(error);
  });
});

test("gradpool train publishes to the NATS in its environment, including its last event", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"));
  const dataset = await workspace.dataset(12);
  const flags = ["--model_id", TINY_CODER, "--dataset", dataset, "--output_dir", workspace.path("out")];
  const command = ["train", ...flags, "--epochs", "1", "--max_length", "64"];
  const { code, stderr } = await gradpool(command, workspace.path("home"), { NATS_URL: nats.url });
  assert.equal(code, 0, stderr);
  const kinds = (await nats.events()).map(({ event }) => event.payload?.$case);
  assert.ok(kinds.includes("runSubmitted") && kinds.includes("runCompleted"), kinds.join(" "));
});

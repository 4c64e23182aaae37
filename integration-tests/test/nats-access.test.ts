/** How others set up NATS: encryption, nkeys, least privilege, leaf nodes, and streams that we must refuse. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, nkeys } from "@nats-io/transport-node";
import { JetStream, natsOptions, STREAM, STREAM_CONFIG, type NatsOptions, type NatsVariables } from "@gradpool/events";
import type { Event } from "@gradpool/rpc";
import {
  deployTool,
  freePorts,
  makeCertificates,
  NatsServer,
  openssl,
  Stack,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";
import { ROOT } from "../src/structure.js";

const { skip } = await deployTool("nats-server");
const skipEncryption = skip || (await openssl()).skip;

const optionsOf = ({ url }: NatsServer, more: NatsVariables = {}): NatsOptions =>
  natsOptions({ NATS_URL: url, ...more }) ?? assert.fail();

const jetStreamIn = (domain?: string) => `jetstream { ${domain ? `domain: ${domain}` : ""} }\n`;

const stepAt = (position: number): Event => ({
  ...{
    eventId: `abc-${position}`,
    runSequence: position,
    time: new Date(position),
    runId: "run-1",
    runName: "",
    trainerId: "",
  },
  ...{ traceparent: "", payload: { $case: "runCancelled", value: { step: position } } },
});

/** Publishes an event as the coordinator does, and asks for it. */
async function publishOne(options: NatsOptions, position = 1): Promise<void> {
  await using stream = await JetStream.connect(options);
  await stream.publish(stepAt(position));
  assert.equal(await stream.newestLike(stepAt(position)), `abc-${position}`);
}

for (const first of [false, true]) {
  const title = first ? "handshake_first" : "a server that asks for TLS";
  test(`mutual TLS with a private authority, on ${title}`, { skip: skipEncryption }, async () => {
    await using workspace = await Workspace.create();
    const { ca, server, client } = await makeCertificates(workspace.path("pki"));
    const files = `ca_file: "${ca}", cert_file: "${server.cert}", key_file: "${server.key}"`;
    const tls = `tls { ${files}, verify: true, handshake_first: ${first} }\n`;
    await using nats = await NatsServer.startWith(workspace.path("nats"), jetStreamIn() + tls);
    const own = { NATS_CERT: client.cert, NATS_KEY: client.key, NATS_TLS_FIRST: String(first) };
    await publishOne(optionsOf(nats, { ...own, NATS_CA: ca }));
    await assert.rejects(publishOne(optionsOf(nats, own)), /cannot publish events to NATS: .*; set NATS_CA /);
    await assert.rejects(publishOne(optionsOf(nats, { NATS_CA: ca, NATS_TLS_FIRST: String(first) })), /certificate/);
    const missing = optionsOf(nats, { ...own, NATS_CA: "/nowhere/ca.pem" });
    await assert.rejects(publishOne(missing), /cannot publish events to NATS: .*\/nowhere\/ca\.pem/);
  });
}

test("encryption that was asked for is never left out", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using nats = await NatsServer.start(workspace.path("nats"), ["--user", "pool", "--pass", "s3cret"]);
  const options = natsOptions({ NATS_URL: nats.url.replace("nats://", "tls://pool:s3cret@") }) ?? assert.fail();
  await assert.rejects(publishOne(options), /server does not support 'tls'/);
});

test("a user's nkey", { skip }, async () => {
  await using workspace = await Workspace.create();
  const user = nkeys.createUser();
  const allowed = `authorization { users: [{ nkey: ${user.getPublicKey()} }] }\n`;
  await using nats = await NatsServer.startWith(workspace.path("nats"), jetStreamIn() + allowed);
  const seed = workspace.path("user.nk");
  await writeFile(seed, `# the pool's\n${Buffer.from(user.getSeed()).toString()}\n`);
  await publishOne(optionsOf(nats, { NATS_NKEY: seed }));
  await writeFile(seed, Buffer.from(nkeys.createUser().getSeed()));
  await assert.rejects(
    publishOne(optionsOf(nats, { NATS_NKEY: seed })),
    /cannot publish events to NATS: .*authorization/i,
  );
  await writeFile(seed, "s3cret");
  await assert.rejects(publishOne(optionsOf(nats, { NATS_NKEY: seed })), /user\.nk \(NATS_NKEY\) has no user's seed/);
});

/** The permissions in docs/events.md: subjects to publish on, and to subscribe to. */
async function documentedPermissions(): Promise<{ publish: string[]; subscribe: string[] }> {
  const text = await readFile(join(ROOT, "docs/events.md"), "utf8");
  const list = (name: string) => {
    const [, subjects = ""] = new RegExp(`^ *${name}: \\[([^\\]]*)\\]`, "m").exec(text) ?? assert.fail(name);
    return [...subjects.matchAll(/"([^"]+)"/g)].map(([, subject]) => subject ?? "");
  };
  return { publish: list("publish"), subscribe: list("subscribe") };
}

const userWith = (publish: readonly string[], subscribe: readonly string[], ...others: readonly string[]) => {
  const permissions = `permissions: { publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)} }`;
  return `authorization { users: [{ user: pool, password: secret, ${permissions} }, ${others.join()}] }\n`;
};
const ADMINISTRATOR = "{ user: admin, password: secret }";
const AS_ADMINISTRATOR = { user: "admin", pass: "secret" };
const AS_POOL = { NATS_USER: "pool", NATS_PASSWORD: "secret" };

test("the documented permissions are enough, and each of them is needed", { skip }, async () => {
  await using workspace = await Workspace.create();
  const { publish, subscribe } = await documentedPermissions();
  assert.ok(publish.length >= 5 && subscribe.length === 1, "docs/events.md lists permissions");
  const variants = [publish, ...publish.map((left) => publish.filter((subject) => subject !== left))];
  for (const [i, subjects] of variants.entries()) {
    const folder = workspace.path(`nats-${i}`);
    await using nats = await NatsServer.startWith(folder, jetStreamIn() + userWith(subjects, subscribe));
    if (i === 0) await publishOne(optionsOf(nats, AS_POOL));
    else
      await assert.rejects(publishOne(optionsOf(nats, AS_POOL)), /permissions violation/i, `without ${publish[i - 1]}`);
  }
});

test("a leaf node, with the stream in the hub's domain", { skip }, async () => {
  await using workspace = await Workspace.create();
  const [leafPort] = await freePorts(1);
  const listening = `leafnodes { listen: "127.0.0.1:${leafPort}" }\n`;
  await using hub = await NatsServer.startWith(workspace.path("hub"), jetStreamIn("hub") + listening);
  const remote = `leafnodes { remotes: [{ url: "nats://127.0.0.1:${leafPort}" }] }\n`;
  await using leaf = await NatsServer.startWith(workspace.path("leaf"), jetStreamIn("edge") + remote);
  const options = optionsOf(leaf, { NATS_JS_DOMAIN: "hub" });
  await untilConnected(options);
  await publishOne(options);
  const stored = await hub.events();
  assert.deepEqual(
    stored.map(({ messageId }) => messageId),
    ["abc-1"],
  );
  await assert.rejects(publishOne(optionsOf(leaf, { NATS_JS_DOMAIN: "other" })), /cannot publish events to NATS: /);
});

/** A leaf node connects to its hub in its own time. */
async function untilConnected(options: NatsOptions): Promise<void> {
  for (;;) {
    const stream = await JetStream.connect(options).catch(() => delay(50));
    if (stream) return stream[Symbol.asyncDispose]();
  }
}

async function addStream({ url }: NatsServer, config: Partial<StreamConfig> & { name: string }): Promise<void> {
  const connection = await connect({ servers: url });
  await (await jetstreamManager(connection)).streams.add(config);
  await connection.close();
}

for (const retention of ["workqueue", "interest"] as const) {
  test(`a stream with ${retention} retention is refused by name, and its alternative works`, { skip }, async () => {
    await using workspace = await Workspace.create();
    await using nats = await NatsServer.start(workspace.path("nats"));
    await addStream(nats, { ...STREAM_CONFIG, retention });
    const refused = `the stream GRADPOOL has ${retention} retention`;
    await assert.rejects(publishOne(optionsOf(nats)), new RegExp(refused));

    await using other = await NatsServer.start(workspace.path("other"));
    await publishOne(optionsOf(other));
    await addStream(other, { name: "WORK", retention, sources: [{ name: STREAM }] });
    const connection = await connect({ servers: other.url });
    const manager = await jetstreamManager(connection);
    await manager.consumers.add("WORK", { durable_name: "reader", ack_policy: "explicit" });
    await publishOne(optionsOf(other), 2);
    const consumer = await jetstream(connection).consumers.get("WORK", "reader");
    const message = await consumer.next();
    assert.ok(message?.subject.startsWith("gradpool.v1.run.run-1"));
    await connection.close();
  });
}

test("an outage is one warning, and its end is an acknowledged event", { skip }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(8);
  const { publish, subscribe } = await documentedPermissions();
  const mayNot = publish.filter((subject) => !subject.startsWith("gradpool"));
  const folder = workspace.path("nats");
  await using nats = await NatsServer.startWith(folder, jetStreamIn() + userWith(mayNot, subscribe, ADMINISTRATOR));
  const natsUrl = nats.url.replace("nats://", "nats://pool:secret@");
  await using stack = await Stack.start({ trainers: 1, runStore: workspace.path("runs.sqlite"), natsUrl });
  const { run } = await stack.train(tinyRun(dataset, workspace.path("out")));
  // It connects, and is refused at each event.
  while ((await nats.connections()) < 4) await delay(50);
  const lines = (text: string) => stack.coordinatorLog.filter((line) => line.includes(text));
  assert.equal(lines("cannot publish events to NATS").length, 1, stack.coordinatorLog.join("\n"));
  assert.equal(lines("publishing events to NATS").length, 0);

  await nats.kill();
  await nats.start(jetStreamIn() + userWith(publish, subscribe, ADMINISTRATOR));
  const isLast = ({ event }: { event: Event }) => event.runId === run.runId && event.payload?.$case === "runCompleted";
  const stored = await nats.eventsWith(isLast, AS_ADMINISTRATOR);
  assert.equal(new Set(stored.map(({ messageId }) => messageId)).size, stored.length);
  assert.equal(lines("cannot publish events to NATS").length, 1);
  assert.equal(lines("publishing events to NATS").length, 1);
});

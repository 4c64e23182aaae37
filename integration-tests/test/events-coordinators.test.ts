/** Several coordinators, one of which publishes: when it is killed another does, and each event arrives once, in order (I6). */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Coordinators,
  deployTool,
  NatsServer,
  postgresPrograms,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";
import { RunState, type Event } from "@gradpool/rpc";

const nats = await deployTool("nats-server");
const postgres = await postgresPrograms();
const PUBLISHES = "this coordinator publishes the pool's events";

test(
  "events of two coordinators, the publisher of which is killed",
  { timeout: 600_000, skip: nats.skip || postgres.skip },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(120);
    await using server = await NatsServer.start(workspace.path("nats"));
    await using pool = await Coordinators.start({ coordinators: 2, leaseSeconds: 4, coordinatorEnv: { NATS_URL: server.url } });
    await pool.addTrainers(1);
    const recipe = { batchSize: 4, gradientAccumulation: 1, maxLength: 48 };
    const specs = ["a", "b"].map((name) => tinyRun(dataset, workspace.path(name), recipe));
    const runIds = [await pool.submit(0, specs[0]!), await pool.submit(1, specs[1]!)];
    const publishers = () => [0, 1].filter((i) => pool.log(i).some((line) => line.includes(PUBLISHES)));
    let killed: number | undefined;
    const finished = await Promise.all(
      runIds.map((runId, i) =>
        pool.watch(i, runId, ({ step }) => {
          const [publisher] = publishers();
          if (killed !== undefined || step < 5 || publisher === undefined) return;
          killed = publisher;
          pool.signal(publisher, "SIGKILL");
        }),
      ),
    );
    for (const { run } of finished) assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.ok(killed !== undefined, "the publisher was killed");

    const isOver = (stored: { event: Event }[]) =>
      runIds.every((id) => stored.some(({ event }) => event.runId === id && event.payload?.$case === "runCompleted"));
    let stored = await server.events();
    while (!isOver(stored)) stored = await server.eventsWith(({ event }) => event.payload?.$case === "runCompleted");
    assert.deepEqual(
      stored.map(({ messageId }) => Number(messageId.split("-")[1])),
      stored.map((_, i) => i + 1),
      "each event once, in order",
    );
    assert.deepEqual(publishers(), [0, 1], "the other one took over");
  },
);

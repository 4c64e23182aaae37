/** The run store in PostgreSQL: each commit once and by the owner alone, whatever happens to connections, servers and leases. */
import assert from "node:assert/strict";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { postgresPrograms, PostgresServer } from "@gradpool/integration-tests";
import { RunSpec, RunState } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { parsePostgresUrl } from "../src/store/postgres/address.js";
import { Database } from "../src/store/postgres/database.js";
import { CHANGES_CHANNEL } from "../src/store/postgres/postgres-tables.js";
import type { NewEvent, RunStore } from "../src/store/run-store.js";
import { openRunStore } from "./open-run-store.js";
import { failure, runNamed } from "./support.js";

const LOG = createLogger("run-store", { GRADPOOL_LOG_LEVEL: "silent" });
const { skip } = await postgresPrograms();

const open = (url: string) => openRunStore(url, LOG, { leaseMs: 300 });
const databaseAt = (url: string) => new Database(parsePostgresUrl(url, {}), { log: LOG });
const close = (store: RunStore) => store[Symbol.asyncDispose]();

const event: NewEvent = {
  ...{ runSequence: 1, time: new Date(1), runId: "a", runName: "", trainerId: "", traceparent: "" },
  payload: { $case: "trainerJoined", value: { deviceClass: "fake" } },
};

/** Hands bytes on to a port of this machine; loses the answer to the next COMMIT, with the connection, when told to. */
class LossyProxy implements AsyncDisposable {
  losesAnswer = false;
  lost = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((client) => this.#serve(client));
  readonly #target: number;

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    const server = connect(this.#target, "127.0.0.1");
    let isLost = false;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => [client, server].forEach((each) => each.destroy()));
    }
    client.on("data", (data) => {
      if (this.losesAnswer && data.includes("COMMIT")) {
        this.losesAnswer = false;
        isLost = true;
      }
      server.write(data);
    });
    server.on("data", (data) => {
      if (!isLost) client.write(data);
      // What the server answers to COMMIT when it has done it.
      else if (data.includes("COMMIT\0")) {
        this.lost += 1;
        client.destroy();
      }
    });
  }
}

describe("the run store in PostgreSQL", { skip, timeout: 120_000 }, () => {
  const started = skip ? undefined : PostgresServer.start();
  after(async () => (await started)?.[Symbol.asyncDispose]());

  async function emptyDatabase(): Promise<string> {
    const server = await started;
    assert.ok(server);
    return server.emptyDatabase();
  }

  it("records nothing of a coordinator whose lease was taken away", async () => {
    const url = await emptyDatabase();
    await using database = databaseAt(url);
    const paused = await open(url);
    await paused.commit([{ type: "run", run: runNamed("a") }]);
    await database.query("UPDATE gradpool.coordinators SET alive = false");
    await using next = await open(url);
    assert.equal(next.recorded.life, 2);
    const late = [{ type: "run" as const, run: runNamed("a", { state: RunState.RUN_STATE_RUNNING }) }];
    await assert.rejects(paused.commit(late), failure("aborted", /its runs were taken over; .*start it again/));
    await assert.rejects(paused.commit(late), failure("aborted", /taken over/));
    await next.commit([{ type: "run", run: runNamed("a", { step: 1 }) }]);
    const [row] = await database.query("SELECT state, epoch FROM gradpool.runs");
    assert.deepEqual(row, { state: RunState.RUN_STATE_QUEUED, epoch: 2 });
    // Alive, but of a run that is another's.
    await database.query("UPDATE gradpool.runs SET owner = 'another'");
    await assert.rejects(next.commit(late), failure("aborted", /taken over/));
    await close(paused);
  });

  it("does a commit once whose answer was lost", async () => {
    const server = await started;
    assert.ok(server);
    await using proxy = new LossyProxy(server.port);
    const port = await proxy.listen();
    const url = (await emptyDatabase()).replace(`:${server.port}/`, `:${port}/`);
    await using store = await open(url);
    await store.commit([{ type: "run", run: runNamed("a") }]);
    for (let step = 1; step <= 4; step++) {
      proxy.losesAnswer = step % 2 === 0;
      const numbers = { epoch: 0, loss: 1, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 };
      const changes = [
        { type: "step" as const, runId: "a", step: { step, ...numbers } },
        { type: "event" as const, event },
      ];
      assert.equal(await store.commit(changes), step);
    }
    assert.equal(proxy.lost, 2);
    assert.deepEqual(
      (await store.history("a")).map(({ value }) => value.step),
      [1, 2, 3, 4],
    );
    assert.deepEqual(
      (await store.events(0, 10)).map(({ position }) => position),
      [1, 2, 3, 4],
    );
  });

  it("waits while PostgreSQL is away", async () => {
    await using server = await PostgresServer.start();
    await using store = await open(server.url());
    await store.commit([{ type: "run", run: runNamed("a") }]);
    await server.kill();
    const waiting = ["b", "c"].map((runId) => store.commit([{ type: "run", run: runNamed(runId) }]));
    await delay(100);
    await server.start();
    await Promise.all(waiting);
    assert.deepEqual(await server.query("SELECT run_id FROM gradpool.runs ORDER BY number"), ["a", "b", "c"]);
  });

  it("has one unfinished run in a folder", async () => {
    await using store = await open(await emptyDatabase());
    const inFolder = (runId: string, outputDir: string, state = RunState.RUN_STATE_QUEUED) => ({
      type: "run" as const,
      run: runNamed(runId, { state, spec: RunSpec.fromPartial({ outputDir }) }),
    });
    await store.commit([inFolder("a", "/out/x")]);
    await assert.rejects(
      store.commit([inFolder("b", "/out/y/../x")]),
      failure("failed_precondition", /in use by a run of another coordinator/),
    );
    await store.commit([inFolder("a", "/out/x", RunState.RUN_STATE_COMPLETED), inFolder("b", "/out/x/")]);
  });

  it("holds whatever clients call their requests and trainers", async () => {
    const url = await emptyDatabase();
    const ids = ["a\0b", "\\x41", "é".repeat(9_000), "'; DROP TABLE gradpool.runs; --"];
    const first = await open(url);
    for (const id of ids) {
      await first.commit([
        { type: "request", requestId: id, content: "c", subject: id },
        { type: "drained", trainerId: id.slice(0, 128), draining: true },
      ]);
    }
    await close(first);
    await using store = await open(url);
    assert.deepEqual(
      store.recorded.requests,
      ids.map((id) => ({ requestId: id, content: "c", subject: id })),
    );
    assert.deepEqual(new Set(store.recorded.drained), new Set(ids.map((id) => id.slice(0, 128))));
  });

  it("tells others which runs changed", async () => {
    const url = await emptyDatabase();
    await using store = await open(url);
    await using database = databaseAt(url);
    const over = new AbortController();
    const heard: string[] = [];
    let listening = Promise.resolve();
    await new Promise<void>((connected) => {
      listening = database.listen(CHANGES_CHANNEL, (payload) => heard.push(payload), connected, over.signal);
    });
    await store.commit([{ type: "run", run: runNamed("a") }]);
    await store.commit([{ type: "event", event: { ...event, runId: "" } }]);
    while (heard.length < 2) await delay(10);
    over.abort();
    await listening;
    assert.deepEqual(
      heard.map((payload) => payload.replace(/^[0-9a-f-]{36}/, "MEMBER")),
      ["MEMBER a", "MEMBER "],
    );
  });

  it("finds damaged rows, and refuses them; and is copied by pg_dump", async () => {
    const url = await emptyDatabase();
    await using database = databaseAt(url);
    const store = await open(url);
    for (const runId of ["a", "b"])
      await store.commit([
        { type: "run", run: runNamed(runId) },
        { type: "event", event },
      ]);
    const found = async () => {
      const problems: string[] = [];
      let rows = 0;
      for await (const part of store.check()) {
        problems.push(...part.problems);
        rows += part.rows;
      }
      return { rows, problems };
    };
    assert.deepEqual(await found(), { rows: 4, problems: [] });
    await database.query("UPDATE gradpool.runs SET run = set_byte(run, 3, 120) WHERE run_id = $1", ["b"]);
    await database.query("DELETE FROM gradpool.events WHERE position = 2");
    const problems = [
      "events are missing between the oldest and the newest",
      "the record of run b is not what was written",
    ];
    assert.deepEqual(await found(), { rows: 3, problems });
    await assert.rejects(
      store.backUp(),
      failure(
        "failed_precondition",
        /in PostgreSQL, not in a file; .*pg_dump --schema=gradpool postgres:\/\/gradpool@127/,
      ),
    );
    await close(store);
    await assert.rejects(open(url), failure("data_loss", /record of run b is not what was written\); restore/));
  });
});

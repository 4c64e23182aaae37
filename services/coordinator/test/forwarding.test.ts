/** Calls about another coordinator's runs, over real connections. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import {
  createClient,
  Run,
  RunServiceService,
  service,
  startServer,
  type CallContext,
  type Client,
  type Handlers,
  type RunningServer,
} from "@gradpool/rpc";
import { GradpoolError } from "@gradpool/errors";
import { activeTraceparent, inSpan, startTracing, traceIdOf } from "@gradpool/tracing";
import { Forwarding, type Owners } from "../src/members/forwarding.js";
import { key, keyed } from "./key.js";
import { failure } from "./support.js";

/** Of an owner that is not declared dead. */
const ALIVE = new AbortController().signal;

type Answer = (runId: string, context: CallContext) => Promise<Run>;

interface Coordinator {
  client: Client<RunServiceService>;
  address: string;
  server: RunningServer;
}

const named = (runId: string, runName: string): Run => Run.fromPartial({ runId, spec: { runName } });

/** A coordinator that answers for its own runs by `answer`; where the other runs are says `owners`. */
async function coordinator(t: TestContext, ownerOf: Owners["ownerOf"], answer: Answer): Promise<Coordinator> {
  const owners: Owners = { learn: () => Promise.resolve(), ownerOf };
  const forwarding = new Forwarding({ owners, connect: (address) => createClient(RunServiceService, address, keyed) });
  const run = async ({ runId }: { runId: string }, context: CallContext) => ({ run: await answer(runId, context) });
  const own: Handlers<RunServiceService> = {
    ...{ submitRun: () => assert.fail(), listRuns: () => assert.fail(), deleteRun: () => Promise.resolve({}) },
    ...{ getRun: run, pauseRun: run, resumeRun: run, cancelRun: run },
    async *watchRun({ runId, afterStep }, context) {
      for (let i = 0; i < 3; i++) {
        yield { update: { $case: "run", value: { ...(await answer(runId, context)), step: afterStep + i } } };
      }
    },
    async *watchRunLog() {
      yield await Promise.resolve({ entry: undefined });
    },
  };
  const server = await startServer({
    listen: "127.0.0.1:0",
    services: [service(RunServiceService, forwarding.handlers(own))],
    key,
    onInternalError: (error) => assert.fail(String(error)),
  });
  const client = createClient(RunServiceService, server.address, keyed);
  t.after(async () => {
    client.close();
    forwarding[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });
  return { client, address: server.address, server };
}

/** Two coordinators: all runs are the second one's, and both know it. */
async function pair(
  t: TestContext,
  answer: Answer,
  signal = ALIVE,
): Promise<{ first: Coordinator; owner: Coordinator }> {
  const owner = await coordinator(t, () => "here" as const, answer);
  const recorded: Answer = (runId) => Promise.resolve(named(runId, "as recorded"));
  const first = await coordinator(t, () => ({ address: owner.address, signal }), recorded);
  return { first, owner };
}

test("calls about another coordinator's run go to it, with their trace, and its errors come back", async (t) => {
  const traces: string[] = [];
  const { first } = await pair(t, (runId) => {
    traces.push(activeTraceparent());
    if (runId === "run-ended") throw new GradpoolError("failed_precondition", "it has ended");
    return Promise.resolve(named(runId, "by its owner"));
  });
  const request = { requestId: "1", runId: "run-1" };
  // Nothing listens there: spans are made all the same.
  await using _ = await startTracing("test", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" }, () => {});
  const trace = await inSpan("test", {}, async () => {
    for (const call of [first.client.pauseRun, first.client.resumeRun, first.client.cancelRun]) {
      assert.equal((await call(request)).run?.spec?.runName, "by its owner");
    }
    assert.equal((await first.client.getRun({ runId: "run-1" })).run?.spec?.runName, "by its owner");
    return traceIdOf(activeTraceparent());
  });
  assert.deepEqual(traces.map(traceIdOf), Array(4).fill(trace));
  const ended = failure("failed_precondition", /it has ended/);
  await assert.rejects(first.client.pauseRun({ requestId: "2", runId: "run-ended" }), ended);
  await assert.rejects(first.client.getRun({ runId: "run-ended" }), ended);
  const steps: number[] = [];
  for await (const { update } of first.client.watchRun({ runId: "run-1", afterStep: 7 })) {
    if (update?.$case === "run") steps.push(update.value.step);
  }
  assert.deepEqual(steps, [7, 8, 9]);
});

test("a client that leaves, or whose deadline passes, ends the owner's call, too", async (t) => {
  let begun = () => {};
  let ended = 0;
  const { first } = await pair(t, async (runId, { signal }) => {
    begun();
    await once(signal, "abort");
    ended += 1;
    return named(runId, "late");
  });
  const leave = new AbortController();
  const isBegun = new Promise<void>((resolve) => (begun = resolve));
  const cancelled = assert.rejects(
    first.client.cancelRun({ requestId: "1", runId: "run-1" }, { signal: leave.signal }),
    failure("cancelled", /./),
  );
  await isBegun;
  leave.abort();
  await cancelled;
  while (ended < 1) await new Promise(setImmediate);
  const watch = first.client.watchRun({ runId: "run-1", afterStep: 0 }, { timeoutMs: 300 });
  await assert.rejects(watch[Symbol.asyncIterator]().next(), failure("deadline_exceeded", /./));
  while (ended < 2) await new Promise(setImmediate);
});

test("what is recorded answers reads while the owner cannot, and writes are to be tried again", async (t) => {
  const { first, owner } = await pair(t, () => assert.fail("it is gone"));
  await owner.server[Symbol.asyncDispose]();
  assert.equal((await first.client.getRun({ runId: "run-1" })).run?.spec?.runName, "as recorded");
  await assert.rejects(first.client.pauseRun({ requestId: "1", runId: "run-1" }), failure("unavailable", /./));
  const watch = first.client.watchRun({ runId: "run-1", afterStep: 0 });
  await assert.rejects(watch[Symbol.asyncIterator]().next(), failure("unavailable", /./));
  const between = await coordinator(
    t,
    () => undefined,
    (runId) => Promise.resolve(named(runId, "as recorded")),
  );
  assert.equal((await between.client.getRun({ runId: "run-1" })).run?.spec?.runName, "as recorded");
  await assert.rejects(
    between.client.pauseRun({ requestId: "1", runId: "run-1" }),
    failure("unavailable", /run run-1 is being taken over by another coordinator; try again/),
  );
});

test("calls in progress end when their owner is declared dead, however silent it is", async (t) => {
  const dead = new AbortController();
  let begun = 0;
  const { first } = await pair(
    t,
    async (runId, { signal }) => {
      begun += 1;
      await once(signal, "abort");
      return named(runId, "late");
    },
    dead.signal,
  );
  const takenOver = failure("unavailable", /run run-1 is being taken over by another coordinator; try again/);
  const calls = [
    assert.rejects(first.client.pauseRun({ requestId: "1", runId: "run-1" }), takenOver),
    assert.rejects(first.client.watchRun({ runId: "run-1", afterStep: 0 })[Symbol.asyncIterator]().next(), takenOver),
    first.client.getRun({ runId: "run-1" }).then(({ run }) => assert.equal(run?.spec?.runName, "as recorded")),
  ];
  while (begun < calls.length) await new Promise(setImmediate);
  dead.abort();
  await Promise.all(calls);
});

test("a call is passed on once: two that take each other for a run's owner do not send it to and fro", async (t) => {
  const addresses: string[] = [];
  let asked = 0;
  const ownerAt = (i: number) => () => {
    asked += 1;
    return { address: addresses[i] ?? "", signal: ALIVE };
  };
  const read: Answer = (runId) => Promise.resolve(named(runId, "as recorded"));
  const first = await coordinator(t, ownerAt(1), read);
  const second = await coordinator(t, ownerAt(0), read);
  addresses.push(first.address, second.address);
  await assert.rejects(first.client.pauseRun({ requestId: "1", runId: "run-1" }), failure("unavailable", /taken over/));
  assert.equal(asked, 2, "each looks once");
  assert.equal((await first.client.getRun({ runId: "run-1" })).run?.spec?.runName, "as recorded");
});

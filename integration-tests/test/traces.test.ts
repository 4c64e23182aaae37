/** One trace per run, from the client through all services, as a real Jaeger shows it, even across kills. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, PoolServiceService, RunState, withKey } from "@gradpool/rpc";
import {
  deployTool,
  gradpool,
  Jaeger,
  LocalPool,
  watchRun,
  Workspace,
  TINY_CODER,
  type JaegerSpan,
} from "@gradpool/integration-tests";

const { path, skip } = await deployTool("jaeger");

const SERVICES = ["checkpoint-store", "cli", "coordinator", "data-stream", "tokenizer", "trainer"].map(
  (name) => `gradpool-${name}`,
);
const STEP_SIZE = 4;

const named = (spans: JaegerSpan[], name: string) => spans.filter((span) => span.name === name);
const parentOf = (spans: JaegerSpan[], { parentId }: JaegerSpan) => spans.find(({ spanId }) => spanId === parentId);
/** Spans whose parent is missing: no span that ended may be missing. */
const orphans = (spans: JaegerSpan[]) =>
  spans.filter((span) => span.parentId !== undefined && !parentOf(spans, span)).map(({ name }) => name);

/** Longest time until a span that ended is in Jaeger, on a busy machine. */
const ARRIVAL_MS = 120_000;

/** Polls until `condition` holds for the trace's spans, this many times for the same ones, and returns them. */
async function until(jaeger: Jaeger, traceId: string, condition: (spans: JaegerSpan[]) => boolean, times = 1) {
  const begunMs = performance.now();
  for (let [held, count] = [0, 0]; ;) {
    const spans = await jaeger.spans(traceId);
    const missing = orphans(spans);
    const holds = missing.length === 0 && condition(spans);
    held = holds && spans.length === count ? held + 1 : Number(holds);
    count = spans.length;
    if (held >= times) return spans;
    const names = () =>
      `parents of ${missing.join(", ") || "none"} are missing; ${spans.map(({ name }) => name).join(", ")}`;
    assert.ok(performance.now() - begunMs < ARRIVAL_MS, `the trace is not complete: ${names()}`);
    await delay(50);
  }
}

/** Kills a trainer while it holds a micro-batch. */
async function killAtWork(pool: LocalPool, trainerId: string, runId: string): Promise<void> {
  const client = createClient(PoolServiceService, pool.address, [withKey(() => pool.key)]);
  const hasWork = async () => {
    const { trainers } = await client.listTrainers({});
    return trainers.some((trainer) => trainer.trainerId === trainerId && trainer.runId === runId);
  };
  await pool.signal(trainerId, "SIGSTOP");
  // Twice: by then, everything it sent before it was stopped has been read.
  for (let times = 0; times < 2;) times = (await hasWork()) ? times + 1 : 0;
  await pool.signal(trainerId, "SIGKILL");
  client.close();
}

const retried = (spans: JaegerSpan[]) =>
  named(spans, "micro-batch").filter(({ isError, tags: lost }) =>
    named(spans, "micro-batch").some(
      ({ tags }) =>
        isError &&
        tags["gradpool.outcome"] === "accepted" &&
        tags["gradpool.step"] === lost["gradpool.step"] &&
        tags["gradpool.micro_batch"] === lost["gradpool.micro_batch"] &&
        Number(tags["gradpool.attempt"]) > Number(lost["gradpool.attempt"]),
    ),
  );

test(
  "a run's trace contains all services, a lost trainer, its retry and a restart",
  { skip, timeout: 300_000 },
  async () => {
    await using jaeger = await Jaeger.start(path);
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(600);
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: jaeger.otlpEndpoint,
      OTEL_BSP_SCHEDULE_DELAY: "100",
      GRADPOOL_JAEGER_URL: jaeger.url,
    };
    const home = workspace.path("home");
    const pool = await LocalPool.start(home, ["--trainers", "2", "--recovery_seconds", "0"], env);
    let [runId, traceId] = ["", ""];
    try {
      const where = ["--address", pool.address, "--json"];
      const what = ["--model_id", TINY_CODER, "--dataset", dataset, "--output_dir", workspace.path("out")];
      const size = ["--epochs", "1", "--batch_size", "2", "--gradient_accumulation", String(STEP_SIZE)];
      const apart = ["--pass_tokens", "0"];
      const submitted = await gradpool(["run", "submit", ...where, ...what, ...size, ...apart], home, env);
      assert.equal(submitted.code, 0, submitted.stderr);
      runId = (JSON.parse(submitted.stdout) as { run_id: string }).run_id;
      const shown = await gradpool(["run", "trace", runId, ...where], home, env);
      const link = JSON.parse(shown.stdout) as { trace_id: string; url: string };
      traceId = link.trace_id;
      assert.equal(link.url, `${jaeger.url}/trace/${traceId}`);
      assert.ok((await fetch(link.url)).ok);

      const finished = watchRun(pool.runs, runId);
      const pause = () => pool.runs.pauseRun({ requestId: randomUUID(), runId });
      const resume = () => pool.runs.resumeRun({ requestId: randomUUID(), runId });
      while (((await pool.runs.getRun({ runId })).run?.step ?? 0) < 1) await delay(20);
      // It must not end meanwhile.
      await pause();
      await until(jaeger, traceId, (spans) => named(spans, "compute micro-batch").length >= STEP_SIZE);
      await resume();
      await until(jaeger, traceId, (spans) => named(spans, "step").length >= 2);
      await killAtWork(pool, "trainer-1", runId);
      await until(jaeger, traceId, (spans) => retried(spans).length > 0);
      // No call may be in progress, or its span would be lost; and what has ended is sent within a tenth of a second.
      await pause();
      await until(jaeger, traceId, () => true, 20);
      await pool.signal("coordinator", "SIGKILL");
      // Answered by its successor.
      while (!(await resume().catch(() => undefined))) await delay(20);
      const { run } = await finished;
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    } finally {
      // A process sends its last spans when it ends.
      await pool[Symbol.asyncDispose]();
    }

    const spans = await until(jaeger, traceId, (all) => named(all, "run").length > 0);
    assert.deepEqual([...new Set(spans.map(({ service }) => service))].sort(), SERVICES);
    assertParents(spans);

    const [lost] = retried(spans);
    assert.match(String(lost?.tags["otel.status_description"]), /trainer was lost/);
    const coordinators = new Set(named(spans, "step").map(({ instance }) => instance));
    assert.equal(coordinators.size, 2, "steps of the coordinator before and after its restart");
    const computed = named(spans, "compute micro-batch").map(({ tags }) => tags["gradpool.compute_ms"]);
    assert.ok(computed.every((ms) => Number(ms) > 0));
    // A long run's trace stays readable: hundreds of steps were made.
    assert.ok(named(spans, "step").length < 10, `${named(spans, "step").length} steps`);
    assert.ok(spans.length < 500, `${spans.length} spans`);

    const steps = await jaeger.find("gradpool-coordinator", "step");
    const linked = steps.filter(({ linkedTraces }) => linkedTraces.includes(traceId));
    assert.ok(linked.length > 0, "other steps have traces of their own, linked to the run's");
  },
);

/** Each span's parent, by name. */
function assertParents(spans: JaegerSpan[]): void {
  const SUBMIT = "gradpool.v1.RunService/SubmitRun";
  const expected: Record<string, string[]> = {
    prepare: [SUBMIT],
    finish: [SUBMIT],
    run: [SUBMIT],
    step: [SUBMIT],
    "micro-batch": ["step"],
    "compute micro-batch": ["micro-batch"],
    compute: ["compute micro-batch"],
    "gradpool.v1.TokenizerService/Encode": [
      "gradpool.v1.DataStreamService/OpenStream",
      // The first rows, before training.
      "gradpool.v1.DataStreamService/DescribeDataset",
      "gradpool.v1.TokenizerService/Encode",
    ],
  };
  for (const [name, parents] of Object.entries(expected)) {
    assert.ok(named(spans, name).length > 0, `no ${name}`);
    for (const span of named(spans, name)) {
      const parent = parentOf(spans, span)?.name ?? "none";
      assert.ok(parents.includes(parent), `${name} is part of ${parent}`);
    }
  }
  const roots = spans.filter(({ parentId }) => parentId === undefined);
  assert.deepEqual(
    roots.map(({ name, service }) => [service, name]),
    [["gradpool-cli", "submit run"]],
  );
  // Each call has one span on each side; the server's is a child of the client's.
  for (const server of spans.filter(({ tags }) => tags["span.kind"] === "server")) {
    const client = parentOf(spans, server);
    assert.equal(client?.name, server.name);
    assert.equal(client?.tags["span.kind"], "client");
  }
}

/**
 * What traces cost: steps of models/tiny-coder (small ones: a larger model's steps take longer, but its traces do not) of
 * runs that are traced and of runs whose client says "not sampled", in turn on one pool, whose spans go to a collector in this
 * process. Prints the ratio of the steps' median times and of the coordinator's CPU time, then the
 * cost of one span.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { Stack, tinyRun, watchRun } from "@gradpool/integration-tests";
import { inSpan, startSpan, startTracing, traceparentOf, within } from "@gradpool/tracing";
import { median } from "./rounds.js";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "8" }, steps: { type: "string", default: "100" } },
});
const [rounds, steps] = [Number(values.rounds), Number(values.steps)];
/** Children of a span: a step has about this many. */
const SPANS = 10_000;

let received = 0;
const collector = createServer((request, response) => {
  void json(request).then((body) => {
    received += (JSON.stringify(body).match(/"spanId"/g) ?? []).length;
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
}).listen(0, "127.0.0.1");
await once(collector, "listening");
process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
const tracing = await startTracing("bench", process.env, (message) => console.log(message));
const dir = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
const dataset = join(dir, "rows.jsonl");
const rows = Array.from(
  { length: steps * 8 },
  (_, i) => `${JSON.stringify({ content: `def f(x):\n    return ${i} * x\n` })}\n`,
);
await writeFile(dataset, rows.join(""));

/** Milliseconds of the median step, and of the coordinator's CPU time per step. */
async function measure(stack: Stack, name: string, flags: "00" | "01"): Promise<{ stepMs: number; cpuMs: number }> {
  const id = randomUUID().replaceAll("-", "");
  const spec = tinyRun(dataset, join(dir, name));
  const begun = stack.coordinatorCpuSeconds();
  const submit = () => stack.runs.submitRun({ requestId: randomUUID(), spec });
  const { run } = await within(`00-${id}-${id.slice(0, 16)}-${flags}`, submit);
  const finished = await watchRun(stack.runs, run?.runId ?? "");
  const cpuMs = (1000 * (stack.coordinatorCpuSeconds() - begun)) / steps;
  return { stepMs: 1000 * median(finished.steps.slice(1).map(({ seconds }) => seconds)), cpuMs };
}

async function spanMicroseconds(): Promise<number> {
  const begun = process.cpuUsage();
  await inSpan("parent", {}, async (span) => {
    const attributes = { "gradpool.step": 1, "gradpool.task_id": "run-1/1/0/1.1", "gradpool.compute_ms": 1.5 };
    for (let i = 0; i < SPANS; i++) {
      startSpan("child", { parent: traceparentOf(span), attributes }).end();
      // The queue empties, as it does between micro-batches.
      if (i % 500 === 499) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / SPANS;
}

try {
  const ratios: { step: number; cpu: number }[] = [];
  {
    await using stack = await Stack.start({ trainers: 1 });
    await measure(stack, "warm-up", "00");
    for (let round = 1; round <= rounds; round++) {
      // The order alternates.
      const order = round % 2 === 0 ? (["01", "00"] as const) : (["00", "01"] as const);
      const found = new Map<string, { stepMs: number; cpuMs: number }>();
      for (const flags of order) found.set(flags, await measure(stack, `out-${round}-${flags}`, flags));
      const [without, traced] = ["00", "01"].map((flags) => found.get(flags) ?? { stepMs: NaN, cpuMs: NaN });
      if (!without || !traced) throw new Error("a round has two runs");
      ratios.push({ step: traced.stepMs / without.stepMs, cpu: traced.cpuMs / without.cpuMs });
      console.log(
        `${round}  step ${without.stepMs.toFixed(2)} ms, traced ${traced.stepMs.toFixed(2)}; ` +
          `coordinator ${without.cpuMs.toFixed(2)} ms, traced ${traced.cpuMs.toFixed(2)}`,
      );
    }
  }
  console.log(`${(received / rounds).toFixed(0)} spans per traced run of ${steps} steps`);
  console.log(`step time, traced / not: ${median(ratios.map(({ step }) => step)).toFixed(4)}`);
  console.log(
    `coordinator's processor time per step, traced / not: ${median(ratios.map(({ cpu }) => cpu)).toFixed(4)}`,
  );
  console.log(
    `one span, made and sent: ${(await spanMicroseconds()).toFixed(1)} µs of processor time, the collector's included`,
  );
} finally {
  await tracing[Symbol.asyncDispose]();
  collector.closeAllConnections();
  collector.close();
  await rm(dir, { recursive: true, force: true });
}

/** gradpool run trace. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runOf, startFakePool } from "./fake-pool.js";
import { run, type Finished } from "./support.js";

const traceId = "0af7651916cd43dd8448eb211c80319c";

async function runTrace(given: string, env: Record<string, string>, ...flags: string[]): Promise<Finished> {
  const getRun = async () => ({ run: runOf({ traceId: given }) });
  await using pool = await startFakePool({ runs: { getRun } });
  return await run(["run", "trace", "run-1", "--address", pool.address, ...flags], env);
}

test("prints the link to the trace", async () => {
  assert.deepEqual((await runTrace(traceId, {})).stdout, `http://localhost:16686/trace/${traceId}\n`);
  const { stdout } = await runTrace(traceId, { GRADPOOL_JAEGER_URL: "https://jaeger.example/ui/" });
  assert.equal(stdout, `https://jaeger.example/ui/trace/${traceId}\n`);
});

test("--json has the ids", async () => {
  const { stdout } = await runTrace(traceId, {}, "--json");
  const url = `http://localhost:16686/trace/${traceId}`;
  assert.deepEqual(JSON.parse(stdout), { run_id: "run-1", trace_id: traceId, url });
});

test("says in one line that there is none", async () => {
  const { code, stderr } = await runTrace("", {});
  assert.equal(code, 1);
  assert.match(stderr, /^gradpool: run run-1 has no trace; start the services with OTEL_EXPORTER_OTLP_ENDPOINT .*\n$/);
});

test("a collector that is away holds nothing up for long", async () => {
  const { code, stderr } = await runTrace(traceId, { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
  assert.equal(code, 0, stderr);
});

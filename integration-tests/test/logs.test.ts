/** What the logs of all services contain about a run: its ids, but neither its rows nor a secret. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { RunState } from "@gradpool/rpc";
import { LocalPool, tinyRun, watchRun, Workspace } from "@gradpool/integration-tests";

const TOKEN = "hf_NobodyMayReadThisToken";
const PASSWORD = "nobody-may-read-this";
/** In every row; as tokens it would be only numbers. */
const ROW = "quetzalcoatlus";

const ENV = {
  GRADPOOL_LOG_LEVEL: "trace",
  HF_TOKEN: TOKEN,
  NATS_PASSWORD: PASSWORD,
  // Nobody listens there: lines still have trace ids.
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:${PASSWORD}@127.0.0.1:9`,
};

/** Text of a log, by service. */
function logsUnder(home: string): Map<string, string> {
  const stacks = join(home, "logs");
  const files = readdirSync(stacks).flatMap((stack) =>
    readdirSync(join(stacks, stack)).map((file) => join(stack, file)),
  );
  const logs = files.filter((file) => file.endsWith(".log"));
  return new Map(logs.map((file) => [file, readFileSync(join(stacks, file), "utf8")]));
}

test("logs contain neither rows nor secrets, and name run and trace", { timeout: 180_000 }, async () => {
  await using workspace = await Workspace.create();
  const [good, bad] = [workspace.path("good.jsonl"), workspace.path("bad.jsonl")];
  const row = (i: number) => JSON.stringify({ content: `def ${ROW}_${i}(x):\n    return "${ROW}" * ${i}\n` });
  const rows = Array.from({ length: 24 }, (_, i) => `${row(i)}\n`);
  await writeFile(good, rows.join(""));
  // Neither JSON nor text: the error must not quote it.
  await writeFile(bad, `${rows.join("")}{"content": ${ROW} ${TOKEN}}\n${rows.join("")}`);
  const home = workspace.path("home");
  let runId = "";
  {
    await using pool = await LocalPool.start(home, [], ENV);
    runId = await pool.submit(tinyRun(good, workspace.path("good")));
    const { run } = await watchRun(pool.runs, runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    const failed = await watchRun(pool.runs, await pool.submit(tinyRun(bad, workspace.path("bad"))));
    assert.equal(failed.run.state, RunState.RUN_STATE_FAILED);
    assert.match(failed.run.error?.message ?? "", /bad\.jsonl/);
    assert.doesNotMatch(failed.run.error?.message ?? "", new RegExp(`${ROW}|${TOKEN}`));
  }
  const logs = logsUnder(home);
  for (const service of ["coordinator", "data-stream", "tokenizer", "checkpoint-store", "trainer-1"]) {
    const text = [...logs].find(([file]) => file.endsWith(`${service}.log`))?.[1] ?? "";
    assert.ok(text.split("\n").length > 2, `${service} logs something`);
    for (const secret of [ROW, TOKEN, PASSWORD]) {
      const line = text.split("\n").find((candidate) => candidate.includes(secret));
      assert.equal(line, undefined, `${service} logs ${secret}`);
    }
  }
  const lines = [...logs.values()].flatMap((text) => text.split("\n").filter(Boolean));
  const ofRun = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line["runId"] === runId);
  const ended = ofRun.find(({ msg }) => msg === "run ended");
  assert.match(String(ended?.["trace_id"]), /^[0-9a-f]{32}$/);
  const traced = new Set(ofRun.map(({ trace_id: traceId }) => traceId).filter(Boolean));
  assert.ok(traced.has(ended?.["trace_id"]));
  const atWork = ofRun.find(({ name, trace_id: traceId }) => name === "trainer" && traceId === ended?.["trace_id"]);
  assert.ok(atWork, "the trainer's lines about a traced micro-batch say the run's trace");
});

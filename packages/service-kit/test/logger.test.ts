/** Log lines of a process, as they reach standard error. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const EXAMPLE = fileURLToPath(new URL("./example-log.js", import.meta.url));

function linesOf(env: Record<string, string>): string[] {
  const { stderr } = spawnSync(process.execPath, [EXAMPLE], { env: { ...process.env, ...env }, encoding: "utf8" });
  return stderr.trimEnd().split("\n");
}

test("JSON lines: trace ids within a span, no secrets", () => {
  const lines = linesOf({ HF_TOKEN: "a-secret-token", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
  const [outside, inside] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(outside?.["msg"], "outside with [redacted]");
  assert.equal(outside?.["trace_id"], undefined);
  assert.equal(inside?.["runId"], "run-1");
  assert.match(String(inside?.["trace_id"]), /^[0-9a-f]{32}$/);
  assert.match(String(inside?.["span_id"]), /^[0-9a-f]{16}$/);
});

test("lines for people", () => {
  const lines = linesOf({ GRADPOOL_LOG_FORMAT: "pretty" });
  assert.match(
    lines[0] ?? "",
    /^\d\d:\d\d:\d\d\.\d{3} INFO {2}example: outside with a-secret-token modelId=\\u001b\[31m\\nred$/,
  );
  assert.match(lines[1] ?? "", /^\d\d:\d\d:\d\d\.\d{3} ERROR example: inside runId=run-1$/);
  assert.match(lines[2] ?? "", /^Error: broken$/);
  assert.match(lines[3] ?? "", /^ {4}at /);
});

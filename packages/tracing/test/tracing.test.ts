/** Spans sent to a collector, and what happens without one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  activeTraceIds,
  activeTraceparent,
  inSpan,
  isSampled,
  startSpan,
  startTracing,
  traceIdOf,
  traceparentOf,
  within,
} from "@gradpool/tracing";
import { traceToCollector } from "./collector.js";

const FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a span's parts, links and errors arrive, with the last flush at the latest", async () => {
  const collector = await traceToCollector();
  const log: unknown[] = [];
  const failing = within(FOREIGN, () =>
    inSpan("outer", { attributes: { "gradpool.step": 3 } }, async () => {
      await delay(1);
      log.push(activeTraceIds());
      startSpan("own trace", { parent: "", link: FOREIGN }).end();
      await inSpan("inner", {}, async () => {
        throw new GradpoolError("unavailable", "cannot reach nats://user:hidden@host; start it");
      });
    }),
  );
  await assert.rejects(failing, { code: "unavailable" });
  assert.equal(activeTraceparent(), "");
  await collector.end();

  const [own, inner, outer] = ["own trace", "inner", "outer"].map((name) =>
    collector.spans.find((span) => span.name === name),
  );
  assert.equal(outer?.traceId, traceIdOf(FOREIGN));
  assert.equal(outer?.parentSpanId, "b7ad6b7169203331");
  assert.deepEqual(outer?.attributes[0], { key: "gradpool.step", value: { intValue: 3 } });
  assert.deepEqual(log, [{ trace_id: outer?.traceId, span_id: outer?.spanId }]);
  assert.equal(inner?.parentSpanId, outer?.spanId);
  assert.equal(inner?.status.code, 2);
  assert.equal(inner?.status.message, "unavailable: cannot reach nats://[redacted]@host; start it");
  assert.notEqual(own?.traceId, outer?.traceId);
  assert.equal(own?.links[0]?.traceId, outer?.traceId);
  assert.deepEqual([...collector.services], ["test"]);
});

test("a collector that refuses is reported once, with no other effect", async () => {
  const collector = await traceToCollector({ OTEL_BSP_SCHEDULE_DELAY: "10" }, 400);
  for (let i = 1; i <= 3; i++) {
    startSpan(`span ${i}`).end();
    while (collector.spans.length < i) await delay(5);
  }
  await collector.end();
  assert.equal(collector.warnings.length, 1, collector.warnings.join("\n"));
  assert.match(collector.warnings[0] ?? "", /^cannot send traces \(.*\); they are dropped until it works; check OTEL_/);
});

test("the resource says which SDK sent it, and takes attributes and names from the environment", async () => {
  const attributes = "deployment.environment.name=test%20bed,service.namespace=theirs,service.name=lost";
  const env = { OTEL_RESOURCE_ATTRIBUTES: attributes, OTEL_SERVICE_NAME: "named", OTEL_TRACES_EXPORTER: "otlp" };
  const collector = await traceToCollector({ ...env, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });
  startSpan("any").end();
  await collector.end();
  assert.equal(collector.resource["deployment.environment.name"], "test bed");
  assert.equal(collector.resource["service.namespace"], "theirs");
  assert.equal(collector.resource["service.name"], "named");
  assert.equal(collector.resource["telemetry.sdk.language"], "nodejs");
  assert.match(collector.resource["telemetry.sdk.version"] ?? "", /^\d+\./);
  assert.match(collector.resource["service.instance.id"] ?? "", new RegExp(`-${process.pid}$`));
});

for (const [env, warning] of [
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, /^tracing is off: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, .*; set it to/],
  [{ OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" }, /OTEL_EXPORTER_OTLP_PROTOCOL is http\/protobuf, .*http\/json/],
  [
    { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "grpc" },
    /OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is grpc, /,
  ],
  [{ OTEL_TRACES_EXPORTER: "console" }, /^tracing is off: OTEL_TRACES_EXPORTER is console; set it to otlp or none$/],
] as const) {
  test(`${JSON.stringify(env)} is refused by name, and nothing is sent`, async () => {
    const collector = await traceToCollector(env);
    startSpan("refused").end();
    await collector.end();
    assert.equal(collector.warnings.length, 1);
    assert.match(collector.warnings[0] ?? "", warning);
    assert.deepEqual(collector.spans, []);
  });
}

test("a sampler's decision is kept", async () => {
  const collector = await traceToCollector({ OTEL_TRACES_SAMPLER: "always_off" });
  const traceparent = traceparentOf(startSpan("unwanted"));
  assert.notEqual(traceIdOf(traceparent), "");
  assert.equal(isSampled(traceparent), false);
  await collector.end();
  assert.deepEqual(collector.spans, []);
});

test("without an endpoint there are no spans and no contexts", async () => {
  for (const env of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_SDK_DISABLED: "true" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_TRACES_EXPORTER: "none" },
  ]) {
    const tracing = await startTracing("test", env, assert.fail);
    assert.equal(await inSpan("none", {}, async (span) => traceparentOf(span) + activeTraceparent()), "");
    assert.deepEqual(activeTraceIds(), {});
    await tracing[Symbol.asyncDispose]();
  }
});

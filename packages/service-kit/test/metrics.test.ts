import assert from "node:assert/strict";
import { test } from "node:test";
import { BoundedLabels, grpcObserver, MetricSet, OTHER, Registry } from "../src/index.js";

test("a label from outside has few values, however many come", () => {
  const labels = new BoundedLabels();
  const values = Array.from({ length: 1000 }, (_, i) => labels.of(`class-${i}`));
  assert.equal(new Set(values).size, 33);
  assert.equal(values.at(-1), OTHER);
  assert.equal(labels.of("class-3"), "class-3");
});

test("a gauge that is read says what is there, and forgets what was", async () => {
  const registry = new Registry();
  let runs = ["a", "b"];
  new MetricSet(registry).gauge("example_runs", "Runs.", ["run_id"], () =>
    runs.map((run_id, i) => [i, { run_id }] as const),
  );
  assert.match(await registry.metrics(), /^example_runs\{run_id="a"\} 0\nexample_runs\{run_id="b"\} 1$/m);
  runs = ["b"];
  assert.match(await registry.metrics(), /^# TYPE example_runs gauge\nexample_runs\{run_id="b"\} 0\n*$/m);
});

test("calls are counted by method and result", async () => {
  const registry = new Registry();
  const observe = grpcObserver(registry, ["/a/B", "/a/C"]);
  const before = await registry.metrics();
  for (const method of ["/a/B", "/a/C"]) {
    assert.match(before, new RegExp(`^gradpool_grpc_request_seconds_count\\{method="${method}"\\} 0$`, "m"));
    for (const code of ["ok", "internal", "cancelled"])
      assert.match(before, new RegExp(`^gradpool_grpc_requests_total\\{method="${method}",code="${code}"\\} 0$`, "m"));
  }
  observe({ method: "/a/B", code: "ok", seconds: 0.2 });
  observe({ method: "/a/B", code: "not_found", seconds: 0.1 });
  const text = await registry.metrics();
  assert.match(text, /^gradpool_grpc_requests_total\{method="\/a\/B",code="not_found"\} 1$/m);
  assert.match(text, /^gradpool_grpc_request_seconds_count\{method="\/a\/B"\} 2$/m);
});

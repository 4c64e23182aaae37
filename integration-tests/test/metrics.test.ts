/** A running pool exports exactly what docs/metrics.md lists, and everything that the alerts and the dashboard use. */
import assert from "node:assert/strict";
import { authorizationOf } from "@gradpool/access";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deployTool, LocalPool, tinyRun, watchRun, Workspace } from "@gradpool/integration-tests";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const promtool = await deployTool("promtool");
const PROMETHEUS = join(ROOT, "deploy/prometheus");
const run = promisify(execFile);
const read = (...path: string[]) => readFileSync(join(ROOT, ...path), "utf8");

/** Counters of ours, and the counts of histograms. */
const COUNTED = /^gradpool_\w+_(total|count)\b/;

/** Alerts that fire when a counter rises. */
const ON_COUNTERS = [
  "GradpoolCheckpointsFail",
  "GradpoolCheckpointsDamaged",
  "GradpoolRunsFail",
  "GradpoolTrainersLost",
  "GradpoolMicroBatchesFail",
  "GradpoolInternalErrors",
];

/** Values of all series in a scrape. */
const seriesIn = (text: string) =>
  new Map(
    [...text.matchAll(/^([a-z_]+(?:\{.*\})?) (\S+)$/gm)].map(([, series = "", count]) => [series, Number(count)]),
  );

/** A series as Prometheus has it, with the labels of whom it asked. */
function scraped(series: string, service: string): string {
  const [, name, labels = ""] = /^([a-z_]+)(?:\{(.*)\})?$/.exec(series) ?? [];
  const of = `job="gradpool",service="${service.replace(/-\d+$/, "")}",instance="${service}:7071"`;
  return `${name}{${labels === "" ? of : `${labels},${of}`}}`;
}

describe("the metrics of a pool that has completed a run", () => {
  let workspace: Workspace;
  let pool: LocalPool;
  /** The text of each service's metrics after the run, by its name. */
  let scrapes: Map<string, string>;
  /** The same before the run, when the trainers have joined. */
  let first: Map<string, string>;
  let during = "";

  before(async () => {
    workspace = await Workspace.create();
    pool = await LocalPool.start(workspace.path("home"), ["--trainers", "2", "--metrics"]);
    while (value(await scrape("coordinator"), 'gradpool_trainers{state="active"}') < 2) await delay(20);
    first = await scrapeAll();
    const spec = tinyRun(await workspace.dataset(40), workspace.path("run"), { saveEvery: 2 });
    const runId = await pool.submit(spec);
    await watchRun(pool.runs, runId, async () => {
      during ||= await scrape("coordinator");
    });
    scrapes = await scrapeAll();
  });

  after(async () => {
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  async function scrape(name: string): Promise<string> {
    const service = pool.services.find((candidate) => candidate.name === name);
    const response = await fetch(`http://${service?.http_address}/metrics`, {
      headers: { authorization: authorizationOf(pool.key) },
    });
    assert.equal(response.status, 200);
    return response.text();
  }

  async function scrapeAll(): Promise<Map<string, string>> {
    const texts = new Map<string, string>();
    for (const { name } of pool.services) texts.set(name, await scrape(name));
    return texts;
  }

  /** Names and types of what is exported. */
  const exported = () =>
    new Map(
      [...scrapes.values()].flatMap((text) =>
        [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]),
      ),
    );

  const value = (text: string | undefined, series: string) =>
    Number(new RegExp(`^${series.replace(/[{}]/g, "\\$&")} (\\S+)$`, "m").exec(text ?? "")?.[1]);

  test("are those that the document lists, by name and type", () => {
    const rows = [...read("docs/metrics.md").matchAll(/^\| `(gradpool_\w+)` +\| (\w+) +\|/gm)];
    const listed = rows.map(([, name = "", type = ""]) => `${name} ${type}`);
    const ours = [...exported()]
      .filter(([name]) => name.startsWith("gradpool_"))
      .map(([name, type]) => `${name} ${type}`);
    assert.deepEqual([...new Set(listed)].sort(), ours.sort());
  });

  test("include everything that alerts and dashboard use", () => {
    const dashboard = read("deploy/grafana/dashboards/gradpool.json");
    const { panels } = JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] };
    const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const named = [read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"), ...queries]
      .flatMap((text) => text.match(/\b(?:gradpool|nodejs|process)_\w+/g) ?? [])
      .map((name) => name.replace(/_(?:sum|count|bucket)$/, ""));
    assert.ok(named.length > 50);
    const missing = [...new Set(named)].filter((name) => !exported().has(name));
    assert.deepEqual(missing, []);
  });

  test("report what the run did", () => {
    const coordinator = scrapes.get("coordinator");
    const steps = value(coordinator, "gradpool_steps_total");
    assert.equal(steps, value(coordinator, "gradpool_step_seconds_count"));
    assert.ok(steps > 1);
    assert.equal(value(coordinator, 'gradpool_runs_ended_total{outcome="completed"}'), 1);
    assert.equal(value(coordinator, "gradpool_run_queue_seconds_count"), 1);
    const sum = (name: string, text = coordinator ?? "") =>
      [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\S+)$`, "gm"))].reduce(
        (total, [, one]) => total + Number(one),
        0,
      );
    const microBatches = sum("gradpool_micro_batches_total");
    assert.equal(sum("gradpool_micro_batch_queue_seconds_count"), microBatches);
    const trainers = ["trainer-1", "trainer-2"].map((name) => scrapes.get(name) ?? "");
    const computed = trainers.reduce(
      (total, text) => total + sum("gradpool_trainer_micro_batch_seconds_count", text),
      0,
    );
    // A late micro-batch is computed twice.
    assert.ok(computed >= microBatches);
    assert.equal(sum("gradpool_data_micro_batches_total", scrapes.get("data-stream")), microBatches);
    assert.equal(
      sum("gradpool_data_rows_total", scrapes.get("data-stream")),
      sum("gradpool_data_counted_rows_total", scrapes.get("data-stream")),
    );
    assert.ok(sum("gradpool_tokens_total") > 0 && sum("gradpool_gradient_bytes_total") > 0);
    assert.ok(value(scrapes.get("checkpoint-store"), 'gradpool_checkpoint_seconds_count{operation="save"}') > 1);
    assert.equal(value(scrapes.get("checkpoint-store"), 'gradpool_checkpoint_failures_total{operation="save"}'), 0);
  });

  test("have each counter's series before it counts, or Prometheus would not see it rise", () => {
    for (const [service, text] of scrapes) {
      const before = seriesIn(first.get(service) ?? "");
      const born = [...seriesIn(text).keys()].filter((series) => COUNTED.test(series) && !before.has(series));
      assert.deepEqual(born, [], service);
    }
  });

  test("as they are before the run, let each alert on a counter fire when it rises", promtool, async () => {
    const history = (rise: number) => {
      const series = [...first].flatMap(([service, text]) =>
        [...seriesIn(text)]
          .filter(([name]) => COUNTED.test(name))
          .map(([name, count]) => ({
            series: scraped(name, service),
            values: `${count}x20 ${count + rise}x20`,
          })),
      );
      return { interval: "1m", input_series: series };
    };
    const firing = (names: string[]) => [
      {
        expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: "25m",
        exp_samples: names.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
      },
    ];
    const tests = [
      { ...history(0), promql_expr_test: firing([]) },
      { ...history(20), promql_expr_test: firing(ON_COUNTERS) },
    ];
    const file = workspace.path("alerts_test.json");
    await writeFile(
      file,
      JSON.stringify({ rule_files: [join(PROMETHEUS, "alerts.yml")], evaluation_interval: "1m", tests }),
    );
    const { stdout } = await run(promtool.path, ["test", "rules", file]);
    assert.match(stdout, /SUCCESS/);
  });

  test("show a run and a trainer only while they exist", async () => {
    assert.match(during, /^gradpool_run_step\{run_id="run-\S+"\} \d+$/m);
    assert.doesNotMatch(scrapes.get("coordinator") ?? "", /run_id=/);
    assert.equal(value(scrapes.get("coordinator"), 'gradpool_trainers{state="active"}'), 2);
    await pool.signal("trainer-2", "SIGKILL");
    // Its successor has another name.
    while (/trainer_id="trainer-2"/.test(await scrape("coordinator"))) await delay(50);
  });
});

test("promtool accepts configuration and rules, and each alert fires when it must", promtool, async () => {
  for (const check of [
    ["check", "config", "--syntax-only", "prometheus.yml"],
    ["check", "rules", "alerts.yml"],
    ["test", "rules", "alerts_test.yml"],
  ]) {
    const { stdout } = await run(promtool.path, check, { cwd: PROMETHEUS });
    assert.match(stdout, /SUCCESS/);
  }
});

test("every alert is explained, tested, and says what to do", () => {
  const alerts = [...read("deploy/prometheus/alerts.yml").matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
  const explained = [...read("docs/metrics.md").matchAll(/^\| `(Gradpool\w+)`/gm)].map(([, name]) => name);
  assert.deepEqual(explained, alerts);
  const tests = read("deploy/prometheus/alerts_test.yml");
  for (const alert of alerts)
    assert.ok(tests.split(alert).length > 2, `${alert} needs a history that fires it and one that does not`);
  assert.equal(read("deploy/prometheus/alerts.yml").split("runbook:").length - 1, alerts.length);
});

test("Grafana's provisioning names the folder and data source of the dashboard", () => {
  assert.deepEqual(readdirSync(join(ROOT, "deploy/grafana/dashboards")), ["gradpool.json"]);
  const dashboard = read("deploy/grafana/dashboards/gradpool.json");
  const sources = new Set([...dashboard.matchAll(/"type": "prometheus",\s+"uid": "(\w+)"/g)].map(([, uid]) => uid));
  assert.deepEqual([...sources], ["gradpool"]);
  assert.match(read("deploy/grafana/provisioning/datasources/prometheus.yml"), /uid: gradpool$/m);
});

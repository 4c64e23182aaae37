/** gradpool events tail and gradpool run logs, over a coordinator that goes away in the middle. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EVENTS } from "@gradpool/events";
import { GradpoolError } from "@gradpool/errors";
import { EventType, LogLevel, type Event, type WatchEventsRequest, type WatchRunLogRequest } from "@gradpool/rpc";
import { startFakePool, stepOf, type FakeHandlers } from "./fake-pool.js";
import { jsonLines, run, type Finished } from "./support.js";

const TIMEOUT = { timeout: 60_000 };
const AWAY = new GradpoolError("unavailable", "the coordinator is stopping; try again later");

const eventAt = (position: number, payload: Event["payload"]): Event => ({
  ...{ eventId: `abc-${position}`, runSequence: position, time: new Date(2026, 0, 31, 12, 0, position) },
  ...{ runId: "run-1", runName: "", trainerId: "", traceparent: "", payload },
});

const STORY = [
  eventAt(1, { $case: "runSubmitted", value: { modelId: "m", dataset: ["d", "e"], outputDir: "/out", tags: [] } }),
  eventAt(2, { $case: "runStep", value: stepOf(1) }),
  eventAt(3, { $case: "runFailed", value: { step: 1, error: { code: "data_loss", message: "it is damaged" } } }),
];

/** A pool that tells two events of the story at a time, and then is away. */
function tellingInPieces(requests: WatchEventsRequest[]): FakeHandlers {
  return {
    events: {
      async *watchEvents(request) {
        requests.push(request);
        yield { event: undefined };
        const place = STORY.findIndex(({ eventId }) => eventId === request.afterId) + 1;
        for (const event of STORY.slice(place, place + 2)) yield { event };
        if (place + 2 < STORY.length) throw AWAY;
      },
    },
  };
}

async function on(handlers: FakeHandlers, ...argv: string[]): Promise<Finished> {
  await using pool = await startFakePool(handlers);
  return await run([...argv, "--address", pool.address]);
}

describe("events tail", () => {
  test("shows each event once, and continues after the last one", TIMEOUT, async () => {
    const requests: WatchEventsRequest[] = [];
    const { code, stdout, stderr } = await on(tellingInPieces(requests), "events", "tail", "--no-follow");
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.trimEnd().split("\n"), [
      "2026-01-31 12:00:01  run.submitted  run-1  m on d e",
      "2026-01-31 12:00:02  run.step  run-1  step 1, loss 2.9900, 20 tokens in 0.10 s",
      "2026-01-31 12:00:03  run.failed  run-1  it is damaged",
    ]);
    assert.deepEqual(
      requests.map(({ afterId }) => afterId),
      ["", "abc-2"],
    );
    assert.match(stderr, /^the coordinator at \S+ does not answer; waiting for it\n$/);
  });

  test("shows a run's name, and its tags as it is submitted", TIMEOUT, async () => {
    const value = { modelId: "m", dataset: ["d"], outputDir: "/out", tags: ["team-a"] };
    const event = { ...eventAt(1, { $case: "runSubmitted", value }), runName: "nightly" };
    const watchEvents = async function* () {
      yield { event };
    };
    const { stdout } = await on({ events: { watchEvents } }, "events", "tail", "--no-follow");
    assert.equal(stdout, "2026-01-31 12:00:01  run.submitted  nightly (run-1)  m on d\n");
    const [json] = jsonLines((await on({ events: { watchEvents } }, "events", "tail", "--no-follow", "--json")).stdout);
    assert.deepEqual([json?.["run_name"], json?.["tags"]], ["nightly", ["team-a"]]);
  });

  test("gives one JSON object a line, with the payload among its fields", TIMEOUT, async () => {
    const { stdout } = await on(tellingInPieces([]), "events", "tail", "--no-follow", "--json");
    const [submitted, step] = jsonLines(stdout);
    assert.deepEqual(submitted, {
      ...{ type: "run.submitted", event_id: "abc-1", time: new Date(2026, 0, 31, 12, 0, 1).toISOString() },
      ...{ run_id: "run-1", run_sequence: 1, model_id: "m", dataset: ["d", "e"], output_dir: "/out" },
    });
    assert.equal(step?.["loss"], stepOf(1).loss);
  });

  test("asks for what its flags say", TIMEOUT, async () => {
    const requests: WatchEventsRequest[] = [];
    const flags = ["--run", "a", "--run", "b", "--type", "run.step", "--type=pool.quota_refused", "--trainer", "t"];
    await on(tellingInPieces(requests), "events", "tail", ...flags, "--since", "2026-01-31T12:00Z", "--after", "abc-2");
    assert.deepEqual(requests[0], {
      ...{ runIds: ["a", "b"], trainerId: "t", afterId: "abc-2", since: new Date("2026-01-31T12:00Z"), follow: true },
      types: [EventType.EVENT_TYPE_RUN_STEP, EventType.EVENT_TYPE_QUOTA_REFUSED],
    });
  });

  test("refuses types and times that there are not", TIMEOUT, async () => {
    for (const flags of [
      ["--type", "run.stp"],
      ["--since", "soon"],
    ]) {
      const { code, stderr } = await run(["events", "tail", ...flags]);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(`^gradpool: ${flags[0]} must be .*, not "${flags[1]}"\n$`));
    }
    const { stdout } = await run(["events", "tail", "--help"]);
    for (const { name } of Object.values(EVENTS)) assert.ok(stdout.includes(name), name);
  });
});

test("run logs shows a run's log, each entry once", TIMEOUT, async () => {
  const entries = ["submitted", "waits for a trainer", "failed"].map((message, i) => ({
    ...{ number: i + 1, time: new Date(2026, 0, 31, 12), message },
    level: [LogLevel.LOG_LEVEL_INFO, LogLevel.LOG_LEVEL_WARN, LogLevel.LOG_LEVEL_ERROR][i] ?? LogLevel.LOG_LEVEL_INFO,
  }));
  const requests: WatchRunLogRequest[] = [];
  const handlers: FakeHandlers = {
    runs: {
      async *watchRunLog(request) {
        requests.push(request);
        yield { entry: undefined };
        for (const entry of entries.slice(request.afterNumber, request.afterNumber + 2)) yield { entry };
        if (request.afterNumber === 0) throw AWAY;
      },
    },
  };
  const { code, stdout, stderr } = await on(handlers, "run", "logs", "run-1", "--follow");
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    "2026-01-31 12:00:00  info   submitted\n2026-01-31 12:00:00  warn   waits for a trainer\n2026-01-31 12:00:00  error  failed\n",
  );
  assert.deepEqual(requests, [
    { runId: "run-1", afterNumber: 0, follow: true },
    { runId: "run-1", afterNumber: 2, follow: true },
  ]);
  const { stdout: json } = await on(handlers, "run", "logs", "run-1", "--json");
  assert.deepEqual(
    jsonLines(json).map(({ number, level }) => [number, level]),
    [
      [1, "info"],
      [2, "warn"],
      [3, "error"],
    ],
  );
});

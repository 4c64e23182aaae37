/** The coordinator's HTTP port: the API, its events, and which callers are refused. */
import assert from "node:assert/strict";
import { request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  ListRunsRequest,
  RunState,
  RunView,
  type Run,
  type WatchRunRequest,
  type WatchRunResponse,
} from "@gradpool/rpc";
import { KEY_PARAMETER, startHttpServer, type RunningHttpServer } from "@gradpool/service-kit";
import { key } from "./key.js";
import type { ApiHandlers } from "../src/http/api-calls.js";
import { dashboardRoutes } from "../src/http/dashboard-routes.js";

const TIMEOUT = { timeout: 60_000 };

const RUN = {
  runId: "run-1",
  state: RunState.RUN_STATE_RUNNING,
  step: 3,
  notes: ["a <b>"],
  dataset: [],
} as unknown as Run;

const step = (n: number): WatchRunResponse => ({
  update: {
    $case: "step",
    value: { step: n, epoch: 0, loss: n / 10, gradNorm: 1, learningRate: 1e-3, tokens: 10, seconds: 0.5 },
  },
});

interface Served extends RunningHttpServer {
  problems: unknown[];
  /** As a browser gets it for the key. */
  cookie: string;
}

/** Serves the test's handlers; refuses all else. */
async function serve(runs: object, pool: object = {}): Promise<Served> {
  const problems: unknown[] = [];
  const onInternalError = (error: unknown) => void problems.push(error);
  const handlers = { runs, pool } as ApiHandlers;
  const routes = dashboardRoutes({ handlers, onInternalError });
  const access = { key, hosts: ["gradpool.example"] };
  const server = await startHttpServer({ listen: "127.0.0.1:0", routes, access, onInternalError });
  const link = `http://${server.address}/?${KEY_PARAMETER}=${key.reveal()}`;
  const { headers } = await fetch(link, { redirect: "manual" });
  const cookie = /^[^;]*/.exec(headers.get("set-cookie") ?? "")?.[0] ?? "";
  return Object.assign(server, { problems, cookie });
}

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: string;
}

/** `fetch` sets Host and Origin itself; here they are the test's. */
async function ask(
  { address, cookie }: Served,
  path: string,
  { method = "GET", headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const [host, port] = address.split(":");
  const sent = request({ host, port, path, method, headers: { cookie, ...headers } });
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
}

const JSON_POST = { method: "POST", headers: { "content-type": "application/json" }, body: '{"requestId":"r1"}' };

describe("the API", () => {
  test("answers with what the RPC's handler gives, as JSON", TIMEOUT, async () => {
    const asked: unknown[] = [];
    await using server = await serve({
      getRun: async (message: unknown) => (asked.push(message), { run: RUN }),
      pauseRun: async (message: unknown) => (
        asked.push(message),
        { run: { ...RUN, state: RunState.RUN_STATE_PAUSED } }
      ),
    });
    const got = await ask(server, "/api/runs/run%2D1");
    assert.equal(got.status, 200);
    assert.equal(got.headers["content-type"], "application/json; charset=utf-8");
    const { run } = JSON.parse(got.body) as { run: Record<string, unknown> };
    assert.deepEqual([run["runId"], run["state"], run["notes"]], ["run-1", "RUN_STATE_RUNNING", ["a <b>"]]);
    const paused = await ask(server, "/api/runs/run-1/pause", JSON_POST);
    assert.match(paused.body, /"RUN_STATE_PAUSED"/);
    assert.deepEqual(asked, [{ runId: "run-1" }, { requestId: "r1", runId: "run-1" }]);
  });

  test("takes a list's filters from the query", TIMEOUT, async () => {
    const asked: unknown[] = [];
    await using server = await serve({ listRuns: async (message: unknown) => (asked.push(message), { runs: [] }) });
    const states = "states=RUN_STATE_RUNNING&states=RUN_STATE_FAILED";
    await ask(server, `/api/runs?page_size=9&view=RUN_VIEW_BASIC&run_name=a%20b&${states}&tags=x&tags=y%26z`);
    await ask(server, "/api/runs");
    assert.deepEqual(asked, [
      {
        ...ListRunsRequest.create(),
        ...{ pageSize: 9, view: RunView.RUN_VIEW_BASIC, runName: "a b", tags: ["x", "y&z"] },
        states: [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_FAILED],
      },
      ListRunsRequest.create(),
    ]);
  });

  test("reports errors by code, message and status, without internals", TIMEOUT, async () => {
    await using server = await serve({
      getRun: async ({ runId }: { runId: string }) => {
        if (runId === "boom") throw new Error("secret");
        throw new GradpoolError("not_found", "there is no run x; list them");
      },
    });
    const missing = await ask(server, "/api/runs/x");
    assert.equal(missing.status, 404);
    assert.deepEqual(JSON.parse(missing.body), { code: "not_found", message: "there is no run x; list them" });
    const broken = await ask(server, "/api/runs/boom");
    assert.equal(broken.status, 500);
    assert.doesNotMatch(broken.body, /secret/);
    assert.equal(server.problems.length, 1);
    for (const path of ["/api", "/api/", "/api/nothing", "/api/runs/a/b", "/api/runs/x/pause"]) {
      assert.equal((await ask(server, path)).status, 404, path);
    }
    assert.equal((await ask(server, "/api/runs/%zz")).status, 400);
  });

  test("refuses bodies that are not JSON objects, or too large", TIMEOUT, async () => {
    await using server = await serve({ pauseRun: async () => assert.fail("it came through") });
    for (const body of ["", "[]", "null", '"x"', "{", "\xff"]) {
      assert.equal((await ask(server, "/api/runs/x/pause", { ...JSON_POST, body })).status, 400, body);
    }
    const large = JSON.stringify({ requestId: "r".repeat(2 << 20) });
    assert.equal((await ask(server, "/api/runs/x/pause", { ...JSON_POST, body: large })).status, 400);
  });
});

describe("a caller", () => {
  test("must know the server's name: an address, localhost, or one that is configured", TIMEOUT, async () => {
    await using server = await serve({ listRuns: async () => ({ runs: [] }) });
    const statusFor = async (host: string) => (await ask(server, "/api/runs", { headers: { host } })).status;
    for (const host of ["localhost:1", "127.0.0.1", "[::1]:7071", "10.1.2.3:80", "GRADPOOL.example:443"]) {
      assert.equal(await statusFor(host), 200, host);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "x@127.0.0.1"]) {
      assert.equal(await statusFor(host), 403, host);
    }
    assert.equal((await ask(server, "/", { headers: { host: "evil.example" } })).status, 403);
  });

  test("must not be another site, nor a form", TIMEOUT, async () => {
    let calls = 0;
    await using server = await serve({ cancelRun: async () => (calls++, { run: RUN }) });
    const own = `http://${server.address}`;
    const post = async (headers: Record<string, string>) =>
      (await ask(server, "/api/runs/x/cancel", { ...JSON_POST, headers: { ...JSON_POST.headers, ...headers } })).status;
    assert.equal(await post({ origin: own, "sec-fetch-site": "same-origin" }), 200);
    assert.equal(await post({}), 200);
    for (const origin of ["http://evil.example", "null", `${own}.evil.example`, "http://127.0.0.1:1"]) {
      assert.equal(await post({ origin }), 403, origin);
    }
    assert.equal(await post({ "sec-fetch-site": "cross-site" }), 403);
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/jsonx",
      "multipart/form-data",
    ]) {
      assert.equal(await post({ origin: own, "content-type": type }), 400, type);
    }
    assert.equal(calls, 2);
  });

  test("gets a page that no other can frame, script or style", TIMEOUT, async () => {
    await using server = await serve({ listRuns: async () => ({ runs: [] }) });
    for (const path of ["/", "/api/runs", "/api/nothing"]) {
      const { headers } = await ask(server, path);
      assert.match(
        String(headers["content-security-policy"]),
        /^default-src 'none'; script-src 'self';.*frame-ancestors 'none'$/,
      );
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["access-control-allow-origin"], undefined);
    }
  });
});

describe("a run's events", () => {
  test("send steps many at a time, and resume after Last-Event-ID", TIMEOUT, async () => {
    const asked: number[] = [];
    await using server = await serve({
      async *watchRun({ afterStep }: WatchRunRequest) {
        asked.push(afterStep);
        yield { update: { $case: "run", value: RUN } };
        for (let n = afterStep + 1; n <= 1200; n++) yield step(n);
        yield { update: { $case: "run", value: { ...RUN, state: RunState.RUN_STATE_COMPLETED } } };
      },
    });
    const { headers, body } = await ask(server, "/api/runs/run-1/events?after_step=7");
    assert.equal(headers["content-type"], "text/event-stream");
    const events = body.split("\n\n").filter((event) => event.startsWith("id: "));
    assert.deepEqual(
      events.map((event) => /event: (\w+)/.exec(event)?.[1]),
      ["run", "steps", "steps", "steps", "run", "end"],
    );
    assert.deepEqual(
      events.map((event) => /^id: (\d+)/.exec(event)?.[1]),
      ["7", "507", "1007", "1200", "1200", "1200"],
    );
    const steps = events.flatMap((event) => {
      const data = JSON.parse(/data: (.*)/.exec(event)?.[1] ?? "null") as unknown;
      return Array.isArray(data) ? (data as { step: number }[]) : [];
    });
    assert.deepEqual(
      steps.map((one) => one.step),
      Array.from({ length: 1193 }, (_, i) => i + 8),
    );
    await ask(server, "/api/runs/run-1/events?after_step=7", { headers: { "last-event-id": "1190" } });
    assert.deepEqual(asked, [7, 1190]);
  });

  test("are refused where there is no such run or step", TIMEOUT, async () => {
    await using server = await serve({
      async *watchRun() {
        throw new GradpoolError("not_found", "there is no run x");
      },
    });
    assert.equal((await ask(server, "/api/runs/x/events")).status, 404);
    for (const wrong of ["-1", "x", "1e99", "1.5"]) {
      assert.equal((await ask(server, `/api/runs/x/events?after_step=${wrong}`)).status, 400, wrong);
    }
  });

  test("are sent as they happen, end with the watcher, and are for a bounded number of watchers", TIMEOUT, async () => {
    let watching = 0;
    await using server = await serve({
      async *watchRun(_: WatchRunRequest, { signal }: { signal: AbortSignal }) {
        watching += 1;
        try {
          yield step(1);
          await once(signal, "abort");
        } finally {
          watching -= 1;
        }
      },
    });
    const leave = new AbortController();
    const url = `http://${server.address}/api/runs/run-1/events`;
    const headers = { authorization: `Bearer ${key.reveal()}` };
    const first = await Promise.all(Array.from({ length: 100 }, () => fetch(url, { headers, signal: leave.signal })));
    const reader = first[0]?.body?.getReader();
    let seen = "";
    while (!seen.includes('"step":1')) seen += Buffer.from((await reader?.read())?.value ?? []).toString();
    assert.equal((await fetch(url, { headers })).status, 429);
    assert.equal(watching, 100);
    leave.abort();
    while (watching > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    const again = new AbortController();
    assert.equal((await fetch(url, { headers, signal: again.signal })).status, 200);
    again.abort();
  });
});

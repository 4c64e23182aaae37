/** What goes to MLflow besides what the real server shows (integration-tests/test/mlflow.long.test.ts): credentials, and errors. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { type GradpoolError } from "@gradpool/errors";
import { MlflowClient } from "../src/reports/mlflow-client.js";
import { mlflowSettings, type MlflowVariables } from "../src/reports/mlflow-settings.js";

const RUN = { id: "r", experimentId: "1", lastSteps: new Map() };
const { signal } = new AbortController();

/** A client with these variables of a server that answers as `answer` does, and the URL. */
async function served<T>(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  work: (clientOf: (variables?: MlflowVariables) => MlflowClient, host: string) => Promise<T>,
): Promise<T> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    return await work((variables = {}) => {
      const settings = mlflowSettings({ MLFLOW_TRACKING_URI: `http://${host}/base/`, ...variables }, undefined);
      assert.ok(typeof settings !== "string", String(settings));
      return new MlflowClient(settings);
    }, host);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("credentials are sent as MLflow's own client sends them, and are in no error", async () => {
  const seen: unknown[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    seen.push([request.url, request.headers.authorization]);
    response.writeHead(403).end("s3cret");
  };
  await served(answer, async (clientOf, host) => {
    const userAndPassword = { MLFLOW_TRACKING_USERNAME: "user", MLFLOW_TRACKING_PASSWORD: "s3cret" };
    const cases: MlflowVariables[] = [
      {},
      { MLFLOW_TRACKING_TOKEN: "s3cret" },
      { ...userAndPassword, MLFLOW_TRACKING_TOKEN: "other" },
      { MLFLOW_TRACKING_URI: `http://user:s3cret@${host}/base` },
    ];
    for (const variables of cases) {
      await assert.rejects(clientOf(variables).updateRun(RUN, "FINISHED", 1, signal), (error: GradpoolError) => {
        assert.equal(error.code, "permission_denied");
        assert.ok(error.message.startsWith(`MLflow at http://${host}/base refuses access (HTTP 403); check MLFLOW_`));
        return !/s3cret/.test(error.message);
      });
    }
  });
  const basic = `Basic ${Buffer.from("user:s3cret").toString("base64")}`;
  const path = "/base/api/2.0/mlflow/runs/update";
  assert.deepEqual(
    seen,
    [undefined, "Bearer s3cret", basic, basic].map((header) => [path, header]),
  );
});

test("infinite numbers are sent as protobuf's JSON has them", async () => {
  let sent = "";
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    sent = await text(request);
    response.end("{}");
  };
  const metric = { key: "loss", timestamp: 1, step: 1 };
  await served(
    (request, response) => void answer(request, response),
    (clientOf) =>
      clientOf().logMetrics(
        RUN,
        [
          { ...metric, value: Infinity },
          { ...metric, value: NaN },
        ],
        signal,
      ),
  );
  assert.deepEqual(
    (JSON.parse(sent) as { metrics: { value: unknown }[] }).metrics.map(({ value }) => value),
    ["Infinity", "NaN"],
  );
});

test("an error says what MLflow says, in one line, and whether trying again may help", async () => {
  const answers: [status: number, body: string, code: string, said: RegExp][] = [
    [503, "<html>\nbusy", "unavailable", /answers HTTP 503: <html>\\nbusy$/],
    [400, '{"error_code":"INVALID_PARAMETER_VALUE","message":"no"}', "failed_precondition", /answers HTTP 400: no$/],
    [404, '{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"gone"}', "not_found", /gone$/],
    [404, "null", "failed_precondition", /answers HTTP 404: null$/],
  ];
  for (const [status, body, code, said] of answers) {
    const answer = (_: IncomingMessage, response: ServerResponse) => response.writeHead(status).end(body);
    await served(answer, (clientOf) =>
      assert.rejects(clientOf().updateRun(RUN, "FAILED", 1, signal), (error: GradpoolError) => {
        assert.match(error.message, said);
        return error.code === code;
      }),
    );
  }
  const away = mlflowSettings({ MLFLOW_TRACKING_URI: "http://user:s3cret@127.0.0.1:9" }, undefined);
  assert.ok(typeof away !== "string");
  await assert.rejects(new MlflowClient(away).updateRun(RUN, "FAILED", 1, signal), (error: GradpoolError) => {
    assert.match(error.message, /^MLflow at http:\/\/127\.0\.0\.1:9 does not answer/);
    return error.code === "unavailable" && !/s3cret/.test(error.message);
  });
});

test("what is not a server is no reason to fail, but to say so to who asks for reports", () => {
  for (const uri of ["", "mlruns", "sqlite:///s3cret.db", "databricks"]) {
    const problem = mlflowSettings({ MLFLOW_TRACKING_URI: uri }, undefined);
    assert.match(String(problem), uri === "" ? /knows no MLflow server/ : /is not the address of a server/);
    assert.doesNotMatch(String(problem), /s3cret/);
  }
});

/** What all services have in common, of a service made here, over real gRPC. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  createClient,
  healthProblem,
  isHealthCheck,
  service,
  TokenizerServiceService,
  type Handlers,
  type Interceptor,
} from "@gradpool/rpc";
import { createLogger, serve } from "../src/index.js";

const log = createLogger("test", { GRADPOOL_LOG_LEVEL: "silent" });
const decodeRequest = { tokenizer: undefined, ids: new Uint8Array(), skipSpecialTokens: false };
const tokenizer = (decode: Handlers<TokenizerServiceService>["decode"]) =>
  service(TokenizerServiceService, { decode } as Handlers<TokenizerServiceService>);

test("stops in order, and health checks say so from the first moment", async () => {
  const order: string[] = [];
  let drained = () => {};
  const part = (name: string) => ({ [Symbol.dispose]: () => void order.push(name) });
  const served = await serve({ listen: "127.0.0.1:0", log }, ({ own, stopping }) => {
    own(part("first"));
    own(part("second"));
    stopping.addEventListener("abort", () => order.push("stopping"));
    return {
      services: [tokenizer(async () => ({ text: "still there" }))],
      started: (address) => void order.push(`listens at ${address}`),
      async drain() {
        await new Promise<void>((resolve) => (drained = resolve));
        order.push("drained");
      },
    };
  });
  const { address } = served;
  assert.equal(await healthProblem(address), "");
  const ended = served[Symbol.asyncDispose]();
  assert.equal(await healthProblem(address), "it reports NOT_SERVING");
  const client = createClient(TokenizerServiceService, address);
  assert.deepEqual(await client.decode(decodeRequest), { text: "still there" });
  client.close();
  drained();
  await ended;
  assert.deepEqual(order, [`listens at ${address}`, "stopping", "drained", "second", "first"]);
  assert.match(await healthProblem(address), /ECONNREFUSED/);
});

test("a service that cannot listen disposes what it made", async () => {
  await using taken = await serve({ listen: "127.0.0.1:0", log }, () => ({ services: [] }));
  let isDisposed = false;
  const start = serve({ listen: taken.address, log }, ({ own }) => {
    own({ [Symbol.asyncDispose]: async () => void (isDisposed = true) });
    return { services: [] };
  });
  await assert.rejects(start, { code: "unavailable", message: /the port is taken/ });
  assert.ok(isDisposed);
});

test("a check on every call is counted where it refuses, and reaches no handler", async () => {
  const refusing: Interceptor = (next) =>
    async function* (call) {
      if (!isHealthCheck(call)) throw new GradpoolError("permission_denied", "no key; give one");
      yield* next(call);
    };
  await using served = await serve({ listen: "127.0.0.1:0", log, interceptors: [refusing] }, () => ({
    services: [tokenizer(() => assert.fail("it was reached"))],
  }));
  const client = createClient(TokenizerServiceService, served.address);
  await assert.rejects(client.decode(decodeRequest), { code: "permission_denied", message: "no key; give one" });
  client.close();
  assert.equal(await healthProblem(served.address), "");
  const text = await served.metrics.metrics();
  const counted = [...text.matchAll(/^gradpool_grpc_requests_total\{.* [1-9]\d*$/gm)].map(([line]) => line);
  const decode = 'method="/gradpool.v1.TokenizerService/Decode",code="permission_denied"';
  assert.deepEqual(counted, [`gradpool_grpc_requests_total{${decode}} 1`]);
});

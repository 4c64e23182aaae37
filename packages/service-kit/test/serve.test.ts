/** What all services have in common, of a service made here, over real gRPC. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  createClient,
  PoolKey,
  withKey,
  healthProblem,
  isHealthCheck,
  service,
  TokenizerServiceService,
  type Handlers,
  type Interceptor,
} from "@gradpool/rpc";
import { createLogger, serve } from "../src/index.js";

const log = createLogger("test", { GRADPOOL_LOG_LEVEL: "silent" });
const key = PoolKey.random();
const access = { key };
const keyed = [withKey(() => key)];
const decodeRequest = { tokenizer: undefined, ids: new Uint8Array(), skipSpecialTokens: false };
const tokenizer = (decode: Handlers<TokenizerServiceService>["decode"]) =>
  service(TokenizerServiceService, { decode } as Handlers<TokenizerServiceService>);

test("stops in order, and health checks say so from the first moment", async () => {
  const order: string[] = [];
  let drained = () => {};
  const part = (name: string) => ({ [Symbol.dispose]: () => void order.push(name) });
  const served = await serve({ listen: "127.0.0.1:0", log, access }, ({ own, stopping }) => {
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
  const client = createClient(TokenizerServiceService, address, keyed);
  assert.deepEqual(await client.decode(decodeRequest), { text: "still there" });
  client.close();
  drained();
  await ended;
  assert.deepEqual(order, [`listens at ${address}`, "stopping", "drained", "second", "first"]);
  assert.match(await healthProblem(address), /ECONNREFUSED/);
});

test("a service that cannot listen disposes what it made", async () => {
  await using taken = await serve({ listen: "127.0.0.1:0", log, access }, () => ({ services: [] }));
  let isDisposed = false;
  const start = serve({ listen: taken.address, log, access }, ({ own }) => {
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
  await using served = await serve({ listen: "127.0.0.1:0", log, access, interceptors: [refusing] }, () => ({
    services: [tokenizer(() => assert.fail("it was reached"))],
  }));
  const client = createClient(TokenizerServiceService, served.address, keyed);
  await assert.rejects(client.decode(decodeRequest), { code: "permission_denied", message: "no key; give one" });
  client.close();
  assert.equal(await healthProblem(served.address), "");
  const text = await served.metrics.metrics();
  const counted = [...text.matchAll(/^gradpool_grpc_requests_total\{.* [1-9]\d*$/gm)].map(([line]) => line);
  const decode = 'method="/gradpool.v1.TokenizerService/Decode",code="permission_denied"';
  assert.deepEqual(counted, [`gradpool_grpc_requests_total{${decode}} 1`]);
});

test("a call without the key is refused and counted, and neither message nor header reaches a handler", async () => {
  let seen: unknown;
  const handler = tokenizer(async (_, { metadata }) => {
    seen = metadata.get("authorization");
    return { text: "answered" };
  });
  await using served = await serve({ listen: "127.0.0.1:0", log, access }, () => ({ services: [handler] }));
  const decodeAs = async (sent: PoolKey | undefined) => {
    using client = createClient(TokenizerServiceService, served.address, [withKey(() => sent)]);
    return await client.decode(decodeRequest);
  };
  await assert.rejects(decodeAs(undefined), { code: "unauthenticated", message: /carries none; set GRADPOOL_KEY/ });
  await assert.rejects(decodeAs(PoolKey.random()), { code: "unauthenticated", message: /not this pool's/ });
  assert.equal(seen, undefined);
  assert.deepEqual(await decodeAs(key), { text: "answered" });
  assert.deepEqual(seen, []);
  assert.equal(await healthProblem(served.address), "");
  const text = await served.metrics.metrics();
  assert.match(text, /^gradpool_grpc_requests_total\{method="\S+\/Decode",code="unauthenticated"\} 2$/m);
});

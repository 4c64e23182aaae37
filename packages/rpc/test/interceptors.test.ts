/** The chain of a call, over real gRPC: every kind of call of every contract, and what surrounds it. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  createClient,
  DataStreamServiceService,
  deadline,
  EventServiceService,
  healthProblem,
  isHealthCheck,
  PoolServiceService,
  retries,
  RunServiceService,
  service,
  startServer,
  TokenizerServiceService,
  TrainerGatewayServiceService,
  untilStopping,
  type Call,
  type Definition,
  type Handlers,
  type Interceptor,
} from "@gradpool/rpc";
import { key, keyed } from "./key.js";

const CONTRACTS: Definition[] = [
  CheckpointStoreServiceService,
  DataStreamServiceService,
  EventServiceService,
  PoolServiceService,
  RunServiceService,
  TokenizerServiceService,
  TrainerGatewayServiceService,
];

const decodeRequest = { tokenizer: undefined, ids: new Uint8Array(), skipSpecialTokens: false };

/** A check on every call is one function like this one. */
const refuseWithoutKey: Interceptor = (next) =>
  async function* (call) {
    const [key] = call.metadata.get("key");
    if (key !== "right" && !isHealthCheck(call)) throw new GradpoolError("permission_denied", "give the right key");
    yield* next(call);
  };

/** Gives the clients of those servers their key. */
const withKey: Interceptor = (next) => (call) => {
  const metadata = call.metadata.clone();
  metadata.set("key", "right");
  return next({ ...call, metadata });
};

type AnyCall = (input: unknown) => Promise<unknown> | AsyncIterable<unknown>;

async function outcomeOf(definition: Definition, name: string, address: string, interceptors: Interceptor[]) {
  const client = createClient(definition, address, interceptors);
  const { requestStream, requestDeserialize } = definition[name] as Definition[string];
  const input = requestStream ? (async function* () {})() : (requestDeserialize(Buffer.alloc(0)) as object);
  try {
    const answer = (client[name] as unknown as AnyCall)(input);
    if (Symbol.asyncIterator in answer) for await (const _ of answer);
    else await answer;
    return "ok";
  } catch (error) {
    return GradpoolError.from(error).code;
  } finally {
    client.close();
  }
}

async function serveTokenizer(handlers: Partial<Handlers<TokenizerServiceService>>, ...interceptors: Interceptor[]) {
  const server = await startServer({
    key,
    listen: "127.0.0.1:0",
    services: [service(TokenizerServiceService, handlers as Handlers<TokenizerServiceService>, ...interceptors)],
    onInternalError: (error) => assert.fail(String(error)),
  });
  const clients: Disposable[] = [];
  return {
    client(...links: Interceptor[]) {
      const client = createClient(TokenizerServiceService, server.address, [...links, ...keyed]);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("without the key, and by one interceptor, every call of every contract and reflection are refused; health is not", async () => {
  // Handlers differ in their answers: their error shows that they were reached.
  const handled = ({ responseStream }: { responseStream: boolean }) => {
    const reached = () => {
      throw new GradpoolError("aborted", "the handler was reached");
    };
    return responseStream ? () => ({ [Symbol.asyncIterator]: reached }) : async () => reached();
  };
  const services = CONTRACTS.map((definition) => {
    const handlers = Object.entries(definition).map(([name, method]) => [name, handled(method)]);
    return service(definition, Object.fromEntries(handlers) as never);
  });
  const onInternalError = (error: unknown) => assert.fail(String(error));
  await using server = await startServer({
    key,
    ...{ listen: "127.0.0.1:0", services, interceptors: [refuseWithoutKey], onInternalError },
  });
  const kinds = new Set<string>();
  let methods = 0;
  for (const definition of CONTRACTS) {
    for (const [name, { path, requestStream, responseStream }] of Object.entries(definition)) {
      methods++;
      kinds.add(`${requestStream} ${responseStream}`);
      assert.equal(await outcomeOf(definition, name, server.address, []), "unauthenticated", path);
      assert.equal(await outcomeOf(definition, name, server.address, keyed), "permission_denied", path);
      assert.equal(await outcomeOf(definition, name, server.address, [withKey, ...keyed]), "aborted", path);
    }
  }
  assert.equal(kinds.size, 4, "unary, and streams of requests, of responses, and of both");
  assert.ok(methods >= 25, `${methods} methods`);
  assert.equal(await healthProblem(server.address), "");
  for (const version of ["v1", "v1alpha"]) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const bytes = { requestSerialize: Buffer.from, requestDeserialize: Buffer.from };
    const reflection = { path, requestStream: true, responseStream: true, ...bytes } as const;
    const answers = { responseSerialize: Buffer.from, responseDeserialize: Buffer.from };
    const definition = { info: { ...reflection, ...answers } } as unknown as Definition;
    assert.equal(await outcomeOf(definition, "info", server.address, []), "unauthenticated");
    assert.equal(await outcomeOf(definition, "info", server.address, keyed), "permission_denied");
    assert.equal(await outcomeOf(definition, "info", server.address, [withKey, ...keyed]), "ok");
  }
});

test("the first interceptor sees a call first and its end last, on both sides", async () => {
  const seen: string[] = [];
  const noted = (name: string): Interceptor => {
    return (next) =>
      async function* (call) {
        seen.push(`${name} begins`);
        yield* next(call);
        seen.push(`${name} ends`);
      };
  };
  const decode = async () => {
    seen.push("handler");
    return { text: "" };
  };
  await using served = await serveTokenizer({ decode }, noted("server 1"), noted("server 2"));
  await served.client(noted("client 1"), noted("client 2")).decode(decodeRequest);
  const server = ["server 1 begins", "server 2 begins", "handler", "server 2 ends", "server 1 ends"];
  assert.deepEqual(seen, [...["client 1 begins", "client 2 begins", ...server], ...["client 2 ends", "client 1 ends"]]);
});

test("a deadline is for calls with one response, and for those that have none of their own", async () => {
  const handlers: Partial<Handlers<TokenizerServiceService>> = {
    decode: (_, { signal }) => once(signal, "abort").then(() => ({ text: "" })),
    async *getTokenizerFiles() {
      yield { path: "a", data: new Uint8Array() };
    },
  };
  await using served = await serveTokenizer(handlers);
  const limits: unknown[] = [];
  const noting: Interceptor = (next) => (call) => (limits.push(call.timeoutMs), next(call));
  const client = served.client(deadline(20), noting);
  await assert.rejects(client.decode(decodeRequest), { code: "deadline_exceeded" });
  await assert.rejects(client.decode(decodeRequest, { timeoutMs: 10 }), { code: "deadline_exceeded" });
  for await (const _ of client.getTokenizerFiles({ tokenizer: undefined }));
  assert.deepEqual(limits, [20, 10, undefined]);
});

test("a call is repeated as long as `decide` says so, and never after its first response", async () => {
  let calls = 0;
  const failing = () => {
    calls++;
    throw new GradpoolError("unavailable", `attempt ${calls}`);
  };
  const handlers: Partial<Handlers<TokenizerServiceService>> = {
    decode: async () => (calls < 3 ? failing() : { text: "done" }),
    getTokenizer: async () => failing(),
    async *getTokenizerFiles() {
      yield { path: "a", data: new Uint8Array() };
      failing();
    },
  };
  await using served = await serveTokenizer(handlers);
  const looked: Call[] = [];
  const client = served.client(
    retries((call) => {
      looked.push(call);
      let left = 5;
      return async (error) => {
        if (--left === 0) throw error;
      };
    }),
  );
  assert.deepEqual(await client.decode(decodeRequest), { text: "done" });
  assert.equal(calls, 3);
  await assert.rejects(client.getTokenizer({ tokenizer: undefined }), { message: "attempt 8" });
  const read = async () => {
    for await (const _ of client.getTokenizerFiles({ tokenizer: undefined }));
  };
  await assert.rejects(read(), { message: "attempt 9" });
  assert.equal(looked.length, 3, "once for each call");
});

test("a service that stops ends its calls, and says so", async () => {
  const stopping = new AbortController();
  let held = () => {};
  const isHeld = new Promise<void>((resolve) => (held = resolve));
  const handlers: Partial<Handlers<TokenizerServiceService>> = {
    async *getTokenizerFiles(_, { signal }) {
      held();
      await once(signal, "abort");
      signal.throwIfAborted();
    },
    getTokenizer: async () => {
      throw new GradpoolError("not_found", "no such tokenizer");
    },
  };
  await using served = await serveTokenizer(
    handlers,
    untilStopping(stopping.signal, "it is stopping; try again later"),
  );
  const client = served.client();
  const read = async () => {
    for await (const _ of client.getTokenizerFiles({ tokenizer: undefined }));
  };
  const ended = assert.rejects(read(), { code: "unavailable", message: "it is stopping; try again later" });
  await isHeld;
  stopping.abort();
  await ended;
  // Errors of a call are still reported.
  await assert.rejects(client.getTokenizer({ tokenizer: undefined }), { code: "not_found" });
});

test("a message of any length arrives: what is longer than 2 kB is cut", async () => {
  const message = `${"é€".repeat(50_000)}`;
  await using served = await serveTokenizer({
    decode: async () => {
      throw new GradpoolError("data_loss", message);
    },
  });
  await assert.rejects(served.client().decode(decodeRequest), (error: GradpoolError) => {
    assert.equal(error.code, "data_loss");
    assert.ok(Buffer.byteLength(error.message) <= 2048, `${Buffer.byteLength(error.message)} bytes`);
    assert.ok(message.startsWith(error.message.replace(/ \[…\]$/, "")), "whole characters, and no others");
    return error.message.endsWith(" […]");
  });
});

test("a proxy named by the environment is not used for our own services", async () => {
  let asked = 0;
  const proxy = createServer((socket) => {
    asked++;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as { port: number };
  const before = { ...process.env };
  for (const name of ["grpc_proxy", "http_proxy", "https_proxy"]) process.env[name] = `http://127.0.0.1:${port}`;
  try {
    await using served = await serveTokenizer({ decode: async () => ({ text: "there" }) });
    assert.deepEqual(await served.client().decode(decodeRequest), { text: "there" });
    assert.equal(asked, 0);
  } finally {
    process.env = before;
    proxy.close();
  }
});

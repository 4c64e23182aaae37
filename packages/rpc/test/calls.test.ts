/**
 * The typed boundary over real gRPC. The tokenizer's and the store's contracts serve as examples of all four kinds of
 * calls.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  createClient,
  observed,
  service,
  startServer,
  TokenizerServiceService,
  type EncodeRequest,
  type Handlers,
  type SaveRequest,
} from "@gradpool/rpc";
import { key, keyed } from "./key.js";

const notUsed = () => {
  throw new Error("not part of this test");
};

async function serveTokenizer(handlers: Partial<Handlers<TokenizerServiceService>>) {
  const internal: unknown[] = [];
  const all = { getTokenizer: notUsed, encode: notUsed, decode: notUsed, getTokenizerFiles: notUsed, ...handlers };
  const server = await startServer({
    key,
    listen: "127.0.0.1:0",
    services: [service(TokenizerServiceService, all)],
    onInternalError: (error) => internal.push(error),
  });
  const client = createClient(TokenizerServiceService, server.address, keyed);
  return {
    client,
    internal,
    address: server.address,
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const decodeRequest = { tokenizer: undefined, ids: new Uint8Array(), skipSpecialTokens: false };
const encodeRequest = (text: string): EncodeRequest => ({
  tokenizer: undefined,
  texts: [text],
  continues: false,
  maxTokens: 0,
});
const isCode = (code: ErrorCode) => (error: unknown) => error instanceof GradpoolError && error.code === code;

test("each ended call is reported once, with its result", async () => {
  const calls: { method: string; code: string; seconds: number }[] = [];
  let isHeld = false;
  const handlers: Partial<Handlers<TokenizerServiceService>> = {
    decode: async () => ({ text: "" }),
    getTokenizer: async () => {
      throw new GradpoolError("not_found", "no such tokenizer; name another");
    },
    async *encode(_requests, { signal }) {
      isHeld = true;
      yield { ids: new Uint8Array(), lengths: [], continues: false };
      await once(signal, "abort");
    },
  };
  const all = { getTokenizer: notUsed, encode: notUsed, decode: notUsed, getTokenizerFiles: notUsed, ...handlers };
  await using server = await startServer({
    key,
    listen: "127.0.0.1:0",
    services: [service(TokenizerServiceService, all)],
    onInternalError: notUsed,
    interceptors: [observed((call) => calls.push(call))],
  });
  const client = createClient(TokenizerServiceService, server.address, keyed);
  await client.decode(decodeRequest);
  await assert.rejects(client.getTokenizer({ tokenizer: undefined }), isCode("not_found"));
  async function* requests() {
    yield encodeRequest("a");
  }
  for await (const _response of client.encode(requests())) break;
  while (calls.length < 3) await new Promise((resolve) => setImmediate(resolve));
  client.close();
  assert.ok(isHeld);
  const path = "/gradpool.v1.TokenizerService/";
  assert.deepEqual(
    calls.map(({ method, code }) => [method.slice(path.length), code]),
    [
      ["Decode", "ok"],
      ["GetTokenizer", "not_found"],
      ["Encode", "cancelled"],
    ],
  );
  assert.ok(calls.every(({ seconds }) => seconds >= 0));
});

describe("the four kinds of calls", () => {
  test("one to one", async () => {
    await using served = await serveTokenizer({ decode: async ({ ids }) => ({ text: `${ids.length} bytes` }) });
    assert.deepEqual(await served.client.decode({ ...decodeRequest, ids: Uint8Array.of(1, 2) }), { text: "2 bytes" });
  });

  test("one to many", async () => {
    await using served = await serveTokenizer({
      async *getTokenizerFiles() {
        for (const path of ["a", "b"]) yield { path, data: new Uint8Array() };
      },
    });
    const paths = [];
    for await (const { path } of served.client.getTokenizerFiles({ tokenizer: undefined })) paths.push(path);
    assert.deepEqual(paths, ["a", "b"]);
  });

  test("many to one", async () => {
    let bytes = 0;
    const server = await startServer({
      key,
      listen: "127.0.0.1:0",
      services: [
        service(CheckpointStoreServiceService, {
          claim: notUsed,
          release: notUsed,
          load: notUsed,
          list: notUsed,
          verify: notUsed,
          delete: notUsed,
          async save(requests) {
            for await (const { message } of requests) if (message?.$case === "data") bytes += message.value.length;
            return { path: String(bytes), removed: [] };
          },
        }),
      ],
      onInternalError: (error) => assert.fail(String(error)),
    });
    const client = createClient(CheckpointStoreServiceService, server.address, keyed);
    const messages = async function* (): AsyncGenerator<SaveRequest> {
      for (let i = 0; i < 5; i++) yield { message: { $case: "data", value: new Uint8Array(1 << 20) } };
    };
    assert.equal((await client.save(messages())).path, String(5 << 20));
    client.close();
    await server[Symbol.asyncDispose]();
  });

  test("many to many, each answer as soon as it is ready", async () => {
    await using served = await serveTokenizer({
      async *encode(requests) {
        for await (const { texts } of requests) {
          yield { ids: new Uint8Array(), lengths: [texts[0]?.length ?? 0], continues: false };
        }
      },
    });
    let allowNext = () => {};
    const requests = async function* (): AsyncGenerator<EncodeRequest> {
      for (const text of ["a", "bb", "ccc"]) {
        yield encodeRequest(text);
        await new Promise<void>((resolve) => (allowNext = resolve));
      }
    };
    const lengths: number[] = [];
    for await (const response of served.client.encode(requests())) {
      lengths.push(...response.lengths);
      allowNext();
    }
    assert.deepEqual(lengths, [1, 2, 3]);
  });
});

describe("errors", () => {
  const codes: ErrorCode[] = ["invalid_argument", "not_found", "already_exists", "permission_denied", "failed_precondition", "resource_exhausted", "aborted", "unavailable", "unimplemented", "data_loss"]; // prettier-ignore
  for (const code of codes) {
    test(`${code} keeps its code and message`, async () => {
      await using served = await serveTokenizer({
        decode: async () => {
          throw new GradpoolError(code, "what is wrong; what to do");
        },
      });
      await assert.rejects(served.client.decode(decodeRequest), { code, message: "what is wrong; what to do" });
      assert.deepEqual(served.internal, []);
    });
  }

  test("an internal error goes to the server's log and not to the client", async () => {
    await using served = await serveTokenizer({
      decode: async () => {
        throw new TypeError("secret detail");
      },
    });
    await assert.rejects(served.client.decode(decodeRequest), (error: Error) => !error.message.includes("secret"));
    assert.match(String(served.internal[0]), /secret detail/);
  });

  test("a handler that fails in mid-stream ends the client's loop with its error", async () => {
    await using served = await serveTokenizer({
      async *getTokenizerFiles() {
        yield { path: "a", data: new Uint8Array() };
        throw new GradpoolError("data_loss", "b is damaged");
      },
    });
    const seen: string[] = [];
    const read = async () => {
      for await (const { path } of served.client.getTokenizerFiles({ tokenizer: undefined })) seen.push(path);
    };
    await assert.rejects(read(), isCode("data_loss"));
    assert.deepEqual(seen, ["a"]);
  });

  test("a sender's own failure reaches the caller", async () => {
    await using served = await serveTokenizer({
      async *encode(requests) {
        for await (const { texts } of requests)
          yield { ids: new Uint8Array(), lengths: [texts.length], continues: false };
      },
    });
    const requests = async function* (): AsyncGenerator<EncodeRequest> {
      yield encodeRequest("a");
      throw new GradpoolError("aborted", "the source broke");
    };
    const read = async () => {
      for await (const response of served.client.encode(requests())) assert.ok(response);
    };
    await assert.rejects(read(), /the source broke/);
  });

  test("a message of more than 4 MiB is refused", async () => {
    await using served = await serveTokenizer({ decode: async () => ({ text: "x" }) });
    const ids = new Uint8Array(5 << 20);
    await assert.rejects(served.client.decode({ ...decodeRequest, ids }), isCode("resource_exhausted"));
  });

  test("nothing listens", async () => {
    const client = createClient(TokenizerServiceService, "127.0.0.1:1", keyed);
    const refused = { code: "unavailable", message: "connect ECONNREFUSED 127.0.0.1:1" };
    await assert.rejects(client.decode(decodeRequest), refused);
    client.close();
  });

  test("a port that is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const listen = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const start = startServer({ key, listen, services: [], onInternalError: notUsed });
    await assert.rejects(start, { code: "unavailable", message: /the port is taken; choose another port/ });
    taken.close();
  });
});

describe("cancellation", () => {
  /** Serves an endless stream and tells when its handler was left. */
  async function serveEndless() {
    let left = () => {};
    const handlerLeft = new Promise<void>((resolve) => (left = resolve));
    let sent = 0;
    const served = await serveTokenizer({
      async *getTokenizerFiles(_, { signal }) {
        try {
          for (; !signal.aborted; sent++) yield { path: String(sent), data: new Uint8Array(1 << 18) };
        } finally {
          left();
        }
      },
    });
    return { ...served, handlerLeft, sent: () => sent };
  }

  test("leaving the loop ends the handler", async () => {
    const endless = await serveEndless();
    for await (const { path } of endless.client.getTokenizerFiles({ tokenizer: undefined })) if (path === "3") break;
    await endless.handlerLeft;
    await endless[Symbol.asyncDispose]();
  });

  test("aborting the signal ends both", async () => {
    const endless = await serveEndless();
    const controller = new AbortController();
    const read = async () => {
      const options = { signal: controller.signal };
      for await (const { path } of endless.client.getTokenizerFiles({ tokenizer: undefined }, options)) {
        if (path === "3") controller.abort();
      }
    };
    await assert.rejects(read(), isCode("cancelled"));
    await endless.handlerLeft;
    await endless[Symbol.asyncDispose]();
  });

  test("a deadline", async () => {
    await using served = await serveTokenizer({
      decode: (_, { signal }) => once(signal, "abort").then(() => ({ text: "" })),
    });
    await assert.rejects(served.client.decode(decodeRequest, { timeoutMs: 50 }), isCode("deadline_exceeded"));
  });

  test("a slow reader holds the handler back", async () => {
    const endless = await serveEndless();
    const stream = endless.client.getTokenizerFiles({ tokenizer: undefined })[Symbol.asyncIterator]();
    await stream.next();
    // The handler continues until windows and buffers are full; then it waits for as long as nothing is read.
    let before = -1;
    while (endless.sent() !== before) {
      before = endless.sent();
      for (let turn = 0; turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(before * (1 << 18) < 64 << 20, `${before} messages of 256 KiB were taken from the handler`);
    await stream.return?.(undefined);
    await endless.handlerLeft;
    await endless[Symbol.asyncDispose]();
  });

  test("disposing a server ends open streams within its grace", async () => {
    const endless = await serveEndless();
    const stream = endless.client.getTokenizerFiles({ tokenizer: undefined })[Symbol.asyncIterator]();
    await stream.next();
    await endless[Symbol.asyncDispose]();
  });
});

/** A call's trace context, over real gRPC: the server's span is part of the client's. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { activeTraceparent, inSpan, startTracing, traceIdOf, traceparentOf, type Tracing } from "@gradpool/tracing";
import {
  createClient,
  service,
  startServer,
  TokenizerServiceService,
  type Client,
  type RunningServer,
} from "@gradpool/rpc";
import { key, keyed } from "./key.js";

const FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const decodeRequest = { tokenizer: undefined, ids: new Uint8Array(), skipSpecialTokens: false };
const encodeRequest = { tokenizer: undefined, texts: [""], continues: false, maxTokens: 0 };

describe("with tracing", () => {
  let tracing: Tracing;
  let server: RunningServer;
  let client: Client<TokenizerServiceService>;
  /** The active span in the handlers, as they were called. */
  const seen: string[] = [];

  before(async () => {
    // Nothing listens there: spans are made all the same.
    tracing = await startTracing("test", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" }, () => {});
    server = await startServer({
      key,
      listen: "127.0.0.1:0",
      services: [
        service(TokenizerServiceService, {
          async decode() {
            seen.push(activeTraceparent());
            return { text: "" };
          },
          async *encode(requests) {
            for await (const _ of requests) seen.push(activeTraceparent());
            yield { ids: new Uint8Array(), lengths: [], continues: false };
          },
          async *getTokenizerFiles() {
            seen.push(activeTraceparent());
            yield { path: "a", data: new Uint8Array() };
          },
          getTokenizer: () => {
            throw new Error("not part of this test");
          },
        }),
      ],
      onInternalError: assert.fail,
    });
    client = createClient(TokenizerServiceService, server.address, keyed);
  });

  after(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
    await tracing[Symbol.asyncDispose]();
  });

  test("handlers of all kinds of calls run in a span of the client's trace", async () => {
    const outer = await inSpan("outer", {}, async (span) => {
      await client.decode(decodeRequest);
      async function* requests() {
        yield encodeRequest;
      }
      for await (const _ of client.encode(requests())) assert.ok(activeTraceparent());
      for await (const _ of client.getTokenizerFiles({ tokenizer: undefined })) assert.ok(activeTraceparent());
      return traceparentOf(span);
    });
    const spans = seen.splice(0);
    assert.equal(spans.length, 3);
    assert.equal(new Set([outer, ...spans]).size, 4, "each its own span");
    assert.deepEqual([...new Set(spans.map(traceIdOf))], [traceIdOf(outer)]);
  });

  test("a call that is part of no trace has no span", async () => {
    await client.decode(decodeRequest);
    assert.deepEqual(seen.splice(0), [""]);
  });

  test("another client's traceparent is honoured, and an invalid one costs only the trace", async () => {
    for (const [traceparent, traceId] of [
      [FOREIGN, traceIdOf(FOREIGN)],
      ["00-zz", ""],
    ] as const) {
      const metadata = new Metadata();
      metadata.set("traceparent", traceparent);
      await client.decode(decodeRequest, { metadata });
      assert.equal(traceIdOf(seen.splice(0)[0] ?? ""), traceId);
    }
  });
});

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { GradpoolError } from "@gradpool/errors";
import { createClient, TokenizerServiceService } from "@gradpool/rpc";
import { TokenizerEncoder } from "../src/tokenizer-encoder.js";
import { ByteTokenizer } from "./byte-tokenizer.js";
import { keyed } from "./key.js";

const REF = { modelId: "bytes", padToken: "", tokenizerHash: "" };
const RETRY_MS = 200;
const neverAborted = new AbortController().signal;

async function withTokenizer(
  use: (tokenizer: ByteTokenizer, create: (retryMs?: number) => Promise<TokenizerEncoder>) => Promise<void>,
): Promise<void> {
  const tokenizer = await ByteTokenizer.start();
  const client = createClient(TokenizerServiceService, tokenizer.address, keyed);
  try {
    await use(tokenizer, (retryMs = RETRY_MS) => TokenizerEncoder.create(client, REF, neverAborted, retryMs));
  } finally {
    client.close();
    await tokenizer[Symbol.asyncDispose]();
  }
}

describe("TokenizerEncoder", () => {
  it("gives up on a service that stays unavailable", () =>
    withTokenizer(async (tokenizer, create) => {
      const encoder = await create();
      await tokenizer.stop();
      const unavailable = {
        code: "unavailable",
        message: /tokenizer service cannot be reached .*start it, then resume/,
      };
      await assert.rejects(encoder.encode(["x"], 0, neverAborted), unavailable);
      await assert.rejects(create(), unavailable);
    }));

  it("resends a batch until it is answered", () =>
    withTokenizer(async (tokenizer, create) => {
      const encoder = await create(60_000);
      let failures = 2;
      tokenizer.beforeAnswer = async () => {
        if (failures-- > 0) throw new GradpoolError("unavailable", "overloaded");
      };
      const [ids] = await encoder.encode(["ab"], 0, neverAborted);
      assert.deepEqual(Array.from(ids!), [97, 98]);
    }));

  it("passes other errors on at once", () =>
    withTokenizer(async (tokenizer, create) => {
      const encoder = await create();
      tokenizer.beforeAnswer = () => Promise.reject(new GradpoolError("invalid_argument", "such texts are refused"));
      await assert.rejects(encoder.encode(["x"], 0, neverAborted), { code: "invalid_argument" });
      assert.equal(tokenizer.requestBytes.length, 1);
    }));

  it("stops waiting when its signal aborts", () =>
    withTokenizer(async (tokenizer, create) => {
      const encoder = await create();
      await tokenizer.stop();
      const controller = new AbortController();
      const result = assert.rejects(encoder.encode(["x"], 0, controller.signal), { name: "AbortError" });
      controller.abort();
      await result;
    }));

  it("cuts each text, also one that is sent in pieces", () =>
    withTokenizer(async (_tokenizer, create) => {
      const encoder = await create();
      const texts = ["abcdef", "", "x".repeat(2_000_000), "abc", "y".repeat(1_000_000)];
      const ids = await encoder.encode(texts, 5, neverAborted);
      assert.deepEqual(
        ids.map((text) => Buffer.from(text).toString()),
        ["abcde", "", "xxxxx", "abc", "yyyyy"],
      );
      const whole = await encoder.encode(texts, 0, neverAborted);
      assert.deepEqual(
        whole.map(({ length }) => length),
        texts.map(({ length }) => length),
      );
      assert.deepEqual(await encoder.encode([], 5, neverAborted), []);
    }));

  it("outlives kill -9 of the service", async () => {
    const start = (listen: string, diesAt: number) => {
      const env = { ...process.env, GRADPOOL_LISTEN: listen, DIES_AT: String(diesAt) };
      return fork(fileURLToPath(new URL("./byte-tokenizer-process.js", import.meta.url)), { env });
    };
    const first = start("127.0.0.1:0", 3);
    const [address] = (await once(first, "message")) as [string];
    const client = createClient(TokenizerServiceService, address, keyed);
    const encoder = await TokenizerEncoder.create(client, REF, neverAborted);
    const second = once(first, "exit").then(() => start(address, 0));
    const texts = Array.from({ length: 8 }, (_, i) => `text ${i}`);
    const ids = await Promise.all(texts.map((text) => encoder.encode([text], 0, neverAborted)));
    assert.deepEqual(
      ids.map(([text]) => Buffer.from(text!).toString()),
      texts,
    );
    assert.equal(first.signalCode, "SIGKILL");
    client.close();
    (await second).disconnect();
    await once(await second, "exit");
  });
});

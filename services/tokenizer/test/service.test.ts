import { modelPlaces } from "@gradpool/hub";
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type Client,
  createClient,
  type EncodeRequest,
  type EncodeResponse,
  TokenizerServiceService,
} from "@gradpool/rpc";
import { createLogger, type Service } from "@gradpool/service-kit";
import { type HfTokenizer, loadTokenizer } from "@gradpool/tokenizers";
import { startTokenizer } from "../src/tokenizer-server.js";
import { key, keyed } from "./key.js";

const TINY_CODER = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));
const PLAIN = fileURLToPath(new URL("../../../../integration-tests/fixtures/golden/gpt2-plain/model", import.meta.url));
const LOG = createLogger("tokenizer-test", { GRADPOOL_LOG_LEVEL: "silent" });

function request(modelId: string, texts: string[], rest: Partial<EncodeRequest> = {}): EncodeRequest {
  const tokenizer = { modelId, padToken: "", tokenizerHash: "" };
  return { tokenizer, texts, continues: false, maxTokens: 0, ...rest };
}

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

function idsOf({ ids }: EncodeResponse): number[] {
  return [...new Int32Array(new Uint8Array(ids).buffer)];
}

function bytesOf(ids: Int32Array): Buffer {
  return Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
}

suite("tokenizer service", () => {
  let server: Service;
  let client: Client<TokenizerServiceService>;
  let bare: HfTokenizer;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "tokenizer-service-"));
    server = await startTokenizer(
      { listen: "127.0.0.1:0", workers: 2, models: modelPlaces({ GRADPOOL_HOME: folder }) },
      LOG,
      { key },
    );
    client = createClient(TokenizerServiceService, server.address, keyed);
    bare = await loadTokenizer(TINY_CODER, "");
  });

  after(async () => {
    client.close();
    bare.free();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function encode(requests: EncodeRequest[], service = client): Promise<EncodeResponse[]> {
    const responses: EncodeResponse[] = [];
    for await (const response of service.encode(each(requests))) responses.push(response);
    return responses;
  }

  test("describes a tokenizer", async () => {
    const { info } = await client.getTokenizer({ tokenizer: { modelId: TINY_CODER, padToken: "", tokenizerHash: "" } });
    const { hash, ...rest } = bare.info;
    assert.deepEqual(info, { tokenizerHash: hash, ...rest });
  });

  test("answers in order, whatever the requests' sizes", async () => {
    const long = "const a = 1; // α\n".repeat(20_000);
    const requests = Array.from({ length: 30 }, (_, i) => {
      return request(TINY_CODER, i % 3 === 0 ? [long.slice(0, 300_000), `#${i}`] : [`row ${i}`, "", "x"]);
    });
    const responses = await encode(requests);
    assert.equal(responses.length, requests.length);
    for (const [i, response] of responses.entries()) {
      const expected = requests[i]!.texts.map((text) => bare.encode(text));
      assert.deepEqual(
        response.lengths,
        expected.map(({ length }) => length),
      );
      assert.ok(Buffer.concat(expected.map(bytesOf)).equals(response.ids), `ids of request ${i}`);
    }
  });

  test("serves streams of different tokenizers concurrently", async () => {
    const plain = await loadTokenizer(PLAIN, "");
    const streams = await Promise.all(
      [TINY_CODER, PLAIN, TINY_CODER, PLAIN].map((model) =>
        encode(Array.from({ length: 8 }, (_, i) => request(model, [`def f${i}(): return ${i}`.repeat(1_000)]))),
      ),
    );
    for (const [i, responses] of streams.entries()) {
      const tokenizer = i % 2 === 0 ? bare : plain;
      for (const [j, response] of responses.entries()) {
        const expected = tokenizer.encode(`def f${j}(): return ${j}`.repeat(1_000));
        assert.ok(bytesOf(expected).equals(response.ids), `ids of request ${j} of stream ${i}`);
      }
    }
    plain.free();
  });

  test("cuts each text to max_tokens", async () => {
    const [response] = await encode([request(TINY_CODER, ["one two three four", "x"], { maxTokens: 2 })]);
    assert.ok(response);
    assert.deepEqual(response.lengths, [2, 1]);
    assert.deepEqual(idsOf(response), [...bare.encode("one two three four").subarray(0, 2), ...bare.encode("x")]);
  });

  test("joins the pieces of a text, wherever they end", async () => {
    const text = "a b<|endoftext|>  \n x<|end 𠀀 👩‍👩‍👧 𠀀 don't   stop\r\n\t".repeat(40);
    const characters = [...text];
    for (const size of [1, 2, 3, 7, 50, 333]) {
      const requests: EncodeRequest[] = [];
      for (let start = 0; start < characters.length; start += size) {
        const continues = start + size < characters.length;
        requests.push(request(TINY_CODER, [characters.slice(start, start + size).join("")], { continues }));
      }
      requests.push(request(TINY_CODER, ["after"]));
      const responses = await encode(requests);
      assert.deepEqual(
        responses.map(({ continues }) => continues),
        requests.map(({ continues }) => continues),
      );
      assert.deepEqual(responses.slice(0, -1).flatMap(idsOf), [...bare.encode(text)], `pieces of ${size}`);
      assert.deepEqual(idsOf(responses.at(-1)!), [...bare.encode("after")]);
    }
  });

  test("counts max_tokens over all pieces of a text", async () => {
    const pieces = ["one two three ", "four five ", "six"];
    const requests = pieces.map((text, i) => request(TINY_CODER, [text], { continues: i < 2, maxTokens: 4 }));
    const responses = await encode([...requests, request(TINY_CODER, ["one two"], { maxTokens: 4 })]);
    assert.deepEqual(responses.slice(0, 3).flatMap(idsOf), [...bare.encode(pieces.join("")).subarray(0, 4)]);
    assert.deepEqual(idsOf(responses[3]!), [...bare.encode("one two").subarray(0, 4)]);
  });

  test("refuses invalid requests, and continues to serve", async () => {
    const tokenizer = { modelId: TINY_CODER, padToken: "", tokenizerHash: "0".repeat(64) };
    const code = (expected: string) => (error: unknown) => {
      assert.ok(error instanceof Error && "code" in error);
      assert.equal(error.code, expected, error.message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    };
    await assert.rejects(encode([request(TINY_CODER, ["x"], { tokenizer })]), code("failed_precondition"));
    await assert.rejects(client.getTokenizer({ tokenizer }), code("failed_precondition"));
    await assert.rejects(encode([request("", ["x"])]), code("invalid_argument"));
    await assert.rejects(encode([request(join(folder, "nowhere"), ["x"])]), code("not_found"));
    await assert.rejects(encode([request(folder, ["x"])]), code("not_found"));
    await assert.rejects(encode([request(TINY_CODER, ["x", "y"], { continues: true })]), code("invalid_argument"));
    await assert.rejects(encode([request(TINY_CODER, ["x"], { continues: true })]), code("invalid_argument"));
    const padToken = { modelId: TINY_CODER, padToken: "<nope>", tokenizerHash: "" };
    await assert.rejects(client.getTokenizer({ tokenizer: padToken }), code("invalid_argument"));
    await assert.rejects(
      client.decode({
        tokenizer: { ...tokenizer, tokenizerHash: "" },
        ids: new Uint8Array(3),
        skipSpecialTokens: false,
      }),
      code("invalid_argument"),
    );
    assert.equal((await encode([request(TINY_CODER, ["x"])])).length, 1);
  });

  test("decodes", async () => {
    const text = "const π = 3; // 👩‍👩‍👧<|endoftext|>";
    const ids = new Uint8Array(bare.encode(text).buffer);
    const tokenizer = { modelId: TINY_CODER, padToken: "", tokenizerHash: "" };
    assert.equal((await client.decode({ tokenizer, ids, skipSpecialTokens: false })).text, text);
    const { text: plain } = await client.decode({ tokenizer, ids, skipSpecialTokens: true });
    assert.equal(plain, text.replace("<|endoftext|>", ""));
  });

  test("sends the files whole", async () => {
    const tokenizer = { modelId: TINY_CODER, padToken: "", tokenizerHash: "" };
    const files = new Map<string, Buffer[]>();
    for await (const { path, data } of client.getTokenizerFiles({ tokenizer })) {
      files.set(path, [...(files.get(path) ?? []), Buffer.from(data)]);
    }
    const received = new Map([...files].map(([path, parts]) => [path, Buffer.concat(parts)]));
    assert.deepEqual([...received.keys()], [...bare.files().keys()]);
    for (const [path, bytes] of bare.files()) assert.ok(received.get(path)?.equals(bytes), path);
  });

  test("stops reading while answers are not taken", async () => {
    const MAX_SENT = 400;
    const body = request(TINY_CODER, ["a b ".repeat(100_000)]);
    let sent = 0;
    async function* requests() {
      // Without backpressure all of it is read.
      for (; sent < MAX_SENT; sent++) yield body;
    }
    const responses = client.encode(requests())[Symbol.asyncIterator]();
    assert.equal((await responses.next()).done, false);
    // Windows and buffers hold some; the calls in between give it time to continue.
    let before = -1;
    for (let unchanged = 0; unchanged < 50; before = sent) {
      await encode([request(TINY_CODER, ["x"])]);
      unchanged = sent === before ? unchanged + 1 : 0;
    }
    assert.ok(sent < MAX_SENT / 2, `${sent} requests were sent`);
    for (let taken = 0; sent === before; taken++) {
      assert.ok(taken <= before, "all that was sent is answered");
      assert.equal((await responses.next()).done, false);
    }
    await responses.return?.();
  });

  test("loads a tokenizer again when its files change, and refuses the old hash", async () => {
    const dir = join(folder, "changing");
    await cp(PLAIN, dir, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
    const tokenizer = { modelId: dir, padToken: "", tokenizerHash: "" };
    const { info: first } = await client.getTokenizer({ tokenizer });
    const path = join(dir, "tokenizer.json");
    const root = JSON.parse(await readFile(path, "utf8")) as { pre_tokenizer: { add_prefix_space: boolean } };
    root.pre_tokenizer.add_prefix_space = true;
    await writeFile(path, JSON.stringify(root));
    const { info: second } = await client.getTokenizer({ tokenizer });
    assert.notEqual(second?.tokenizerHash, first?.tokenizerHash);
    await assert.rejects(
      encode([request(dir, ["x"], { tokenizer: { ...tokenizer, tokenizerHash: first!.tokenizerHash } })]),
      { code: "failed_precondition" },
    );
  });

  test("stops reading when the client leaves", async () => {
    const controller = new AbortController();
    const left: unknown = await (async () => {
      for await (const response of client.encode(each(Array(50).fill(request(TINY_CODER, ["a b ".repeat(50_000)]))), {
        signal: controller.signal,
      })) {
        assert.ok(response.ids.length > 0);
        controller.abort();
      }
    })().catch((error: unknown) => error);
    assert.ok(left instanceof Error && "code" in left && left.code === "cancelled");
    assert.equal((await encode([request(TINY_CODER, ["x"])])).length, 1);
  });

  test("ends a tokenizer that takes too long to load, and serves others meanwhile", async () => {
    const slow = join(folder, "slow");
    await cp(PLAIN, slow, { recursive: true });
    const path = join(slow, "tokenizer.json");
    const root = JSON.parse(await readFile(path, "utf8")) as { model: { vocab: Record<string, number> } };
    // A million entries more: seconds of work.
    for (let i = 0; i < 1_000_000; i++) root.model.vocab[`entry ${i}`] = 60_000 + i;
    await writeFile(path, JSON.stringify(root));
    const config = { listen: "127.0.0.1:0", workers: 1, models: modelPlaces({ GRADPOOL_HOME: folder }) };
    const strict = await startTokenizer(config, LOG, { key }, { heapMb: 2048, stuckMs: 600 });
    const asking = createClient(TokenizerServiceService, strict.address, keyed);
    try {
      await assert.rejects(encode([request(slow, ["a"])], asking), {
        code: "failed_precondition",
        message: `loading the tokenizer in ${slow} took more than 0.6 s at a stretch and was stopped; correct or replace the file`,
      });
      assert.equal((await encode([request(TINY_CODER, ["a b"])], asking)).length, 1);
    } finally {
      asking.close();
      await strict[Symbol.asyncDispose]();
    }
  });
});

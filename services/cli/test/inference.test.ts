import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { endTokens } from "../src/inference/end-tokens.js";
import { distribution, draw, mostLikely, nextToken, uniforms, type Sampling } from "../src/inference/next-token.js";
import { readPrompt, type PromptFlags } from "../src/inference/prompt.js";
import { StopTexts, TextStream } from "../src/inference/text-stream.js";
import { REPOSITORY, withFolder } from "./support.js";

const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1, noRepeatNgramSize: 0 };
const GREEDY: Sampling = { ...PLAIN, temperature: 0 };

interface Reference {
  logits: number[];
  text: number[];
  cases: {
    temperature: number;
    top_k?: number;
    top_p?: number;
    repetition_penalty?: number;
    probabilities: number[];
  }[];
}

describe("next token", () => {
  test("the most likely one, the first of equals", () => {
    assert.equal(mostLikely(Float32Array.of(-1, 3, 3, 2)), 1);
  });

  test("probabilities are those of transformers' logits processors", () => {
    const path = join(REPOSITORY, "services/cli/test/fixtures/distributions.json");
    const { logits, text, cases } = JSON.parse(readFileSync(path, "utf8")) as Reference;
    for (const { probabilities, ...settings } of cases) {
      const { temperature, top_k: topK = 0, top_p: topP = 1, repetition_penalty: repetitionPenalty = 1 } = settings;
      const sampling = { ...PLAIN, temperature, topK, topP, repetitionPenalty };
      const found = distribution(Float32Array.from(logits), text, sampling);
      for (const [id, expected] of probabilities.entries()) {
        const shown = `${JSON.stringify(settings)}, token ${id}: ${found[id]} instead of ${expected}`;
        assert.equal(Math.fround(found[id]!) === 0, expected === 0, shown);
        assert.ok(Math.abs(found[id]! - expected) < 1e-6, shown);
      }
    }
  });

  test("draws follow the probabilities", () => {
    const probabilities = Float64Array.of(0.1, 0, 0.6, 0.3);
    const counts = [0, 0, 0, 0];
    const uniform = uniforms(7);
    const draws = 20_000;
    for (let i = 0; i < draws; i++) counts[draw(probabilities, uniform())]!++;
    for (const [id, count] of counts.entries()) {
      // Five standard deviations of a binomial count.
      const bound = 5 * Math.sqrt((probabilities[id]! * (1 - probabilities[id]!)) / draws);
      assert.ok(Math.abs(count / draws - probabilities[id]!) <= bound, counts.join());
    }
  });

  test("a rest that rounding leaves goes to the most likely", () => {
    assert.equal(draw(Float64Array.of(0.2, 0.7, 0), 1 - 2 ** -32), 1);
  });

  test("extreme logits and temperatures draw what is possible", () => {
    const logits = Float32Array.of(-1e38, 1e4, -1e4);
    for (const temperature of [1e-3, 1e-45, 1e38]) {
      const sum = distribution(logits, [], { ...PLAIN, temperature }).reduce((total, p) => total + p, 0);
      assert.ok(Math.abs(sum - 1) < 1e-12, `${temperature}: ${sum}`);
    }
    for (const uniform of [0, 0.5, 1 - 2 ** -32]) {
      assert.equal(
        nextToken(logits, [], { ...PLAIN, temperature: 1e-3 }, () => uniform),
        1,
      );
    }
  });

  test("the repetition penalty counts without a temperature too, once for each token", () => {
    const logits = Float32Array.of(2, 3, -1);
    const never = () => assert.fail("nothing is drawn");
    const greedy = (text: number[], repetitionPenalty: number) =>
      nextToken(logits, text, { ...GREEDY, repetitionPenalty }, never);
    assert.equal(greedy([1], 1), 1);
    assert.equal(greedy([1, 1, 1], 1.4), 1);
    assert.equal(greedy([1], 1.6), 0);
    assert.equal(greedy([0, 1, 2], 8), 1);
    assert.deepEqual([...logits], [2, 3, -1]);
  });

  test("tokens that would repeat a sequence are those that transformers 5.24 bans", () => {
    const banned = (text: number[], noRepeatNgramSize: number) => {
      const found = distribution(new Float32Array(7), text, { ...PLAIN, noRepeatNgramSize });
      return [...found.keys()].filter((id) => found[id] === 0);
    };
    assert.deepEqual(
      [1, 2, 3].map((size) => banned([1, 2, 3, 1, 2], size)),
      [[1, 2, 3], [3], [3]],
    );
    assert.deepEqual(
      [1, 2, 3].map((size) => banned([1, 1, 1], size)),
      [[1], [1], [1]],
    );
    assert.deepEqual(
      [1, 2, 3].map((size) => banned([4, 2], size)),
      [[2, 4], [], []],
    );
    assert.deepEqual(
      [1, 2, 3].map((size) => banned([0, 1, 0, 1, 0], size)),
      [[0, 1], [1], [1]],
    );
    assert.deepEqual(
      [1, 2, 3].map((size) => banned([5], size)),
      [[5], [], []],
    );
    assert.equal(nextToken(Float32Array.of(1, 3, 2), [1], { ...GREEDY, noRepeatNgramSize: 1 }, uniforms(0)), 2);
  });

  test("numbers depend on the seed, are in [0, 1), and on average in the middle", () => {
    const first = (seed: number) => {
      const uniform = uniforms(seed);
      return Array.from({ length: 1000 }, () => uniform());
    };
    const numbers = first(1);
    assert.deepEqual(numbers, first(1));
    assert.notDeepEqual(numbers, first(2));
    assert.notDeepEqual(numbers, first(1 + 2 ** 32));
    assert.ok(numbers.every((number) => number >= 0 && number < 1));
    assert.ok(Math.abs(numbers.reduce((sum, number) => sum + number, 0) / 1000 - 0.5) < 0.05);
  });
});

describe("TextStream", () => {
  const bytes = new TextEncoder().encode("né 🙂!");
  const decode = (ids: Int32Array) => new TextDecoder().decode(Uint8Array.from(ids));

  test("gives whole characters, each once", () => {
    const stream = new TextStream(decode);
    const pieces = Array.from(bytes, (byte) => stream.next(byte));
    assert.deepEqual(pieces, ["n", "", "é", " ", "", "", "", "🙂", "!"]);
    assert.equal(stream.end(), "");
  });

  test("at the end shows what stayed unfinished", () => {
    const stream = new TextStream(decode);
    const pieces = Array.from(bytes.subarray(0, 6), (byte) => stream.next(byte));
    assert.equal(pieces.join(""), "né ");
    assert.equal(stream.end(), "\ufffd");
  });

  test("invalid UTF-8 gives the same text as decoding it whole", () => {
    const broken = [0xc3, 0x28, 0xff, 0xfe, 0x41, 0xe2, 0x82];
    const stream = new TextStream(decode);
    const text = broken.map((byte) => stream.next(byte)).join("") + stream.end();
    assert.equal(text, decode(Int32Array.from(broken)));
  });
});

describe("StopTexts", () => {
  const cut = (stops: string[], pieces: string[]) => {
    const filter = new StopTexts(stops);
    const shown = pieces.map((piece) => filter.next(piece));
    return { shown, end: filter.end(), isFound: filter.isFound };
  };

  test("end the text before the first of them, however it is cut into pieces", () => {
    assert.deepEqual(cut(["END"], ["a E", "N", "D more", "more"]), {
      shown: ["a ", "", "", ""],
      end: "",
      isFound: true,
    });
    assert.deepEqual(cut(["yy", "x"], ["ayyx"]), { shown: ["a"], end: "", isFound: true });
    assert.deepEqual(cut(["aab"], ["aa", "ab"]), { shown: ["", "a"], end: "", isFound: true });
  });

  test("hold back only what may become one, and give it at the end", () => {
    assert.deepEqual(cut(["END"], ["EN", "E", "xE"]), { shown: ["", "EN", "Ex"], end: "E", isFound: false });
    assert.deepEqual(cut([], ["a", "b"]), { shown: ["a", "b"], end: "", isFound: false });
    assert.deepEqual(cut([""], ["a"]), { shown: ["a"], end: "", isFound: false });
  });
});

describe("prompt", () => {
  const { signal } = new AbortController();
  const read = async (...pieces: (string | Uint8Array)[]) =>
    readPrompt({ prompt: "-" }, Readable.from(pieces.map((piece) => Buffer.from(piece))), signal);

  test("- is standard input, every byte of it", async () => {
    const [smile] = [Buffer.from("🙂")];
    assert.deepEqual(await read("a\n", smile.subarray(0, 2), smile.subarray(2), "\n"), { text: "a\n🙂\n" });
    assert.deepEqual(await read(), { text: "" });
    assert.deepEqual(await readPrompt({ prompt: "x" }, Readable.from([]), signal), { text: "x" });
  });

  test("text that is not UTF-8, or too long, is refused", async () => {
    await assert.rejects(read(Uint8Array.of(0xff)), /standard input is not UTF-8; convert it first/);
    const piece = new Uint8Array(1 << 20).fill(97);
    await assert.rejects(read(...Array.from({ length: 17 }, () => piece)), /is longer than 16 MiB; shorten/);
  });

  test("a chat's is a user's message, after the system's if there is one", async () => {
    const chat = (flags: PromptFlags, text = "") => readPrompt(flags, Readable.from([Buffer.from(text)]), signal);
    const [system, user] = [
      { role: "system", content: "be brief" },
      { role: "user", content: "why?" },
    ];
    assert.deepEqual(await chat({ chat: true, prompt: "why?" }), { messages: [user] });
    assert.deepEqual(await chat({ chat: true, prompt: "-", system: "be brief" }, "why?"), { messages: [system, user] });
    assert.deepEqual(await chat({ messages: "-" }, JSON.stringify([system, user])), { messages: [system, user] });
    await assert.rejects(chat({}), /--prompt is missing; give it, or --messages/);
    await assert.rejects(chat({ prompt: "x", messages: "-" }), /--prompt is given twice; leave it out, or --messages/);
    await assert.rejects(chat({ prompt: "x", system: "y" }), /--system needs --chat/);
    await assert.rejects(chat({ messages: "-" }, "{"), /standard input is not valid JSON; give a list such as/);
    await assert.rejects(chat({ messages: "-" }, `{"role": "user"}`), /it holds an object; it must hold a list of/);
    await assert.rejects(chat({ messages: "-" }, `[{"role": 1}]`), /message 1 of it needs a role and a content/);
    await assert.rejects(chat({ messages: "/no/such.json" }), /such.json cannot be read \(ENOENT\); check the path/);
  });

  test("Ctrl-C ends the wait for it", async () => {
    const interrupt = new AbortController();
    const waiting = readPrompt({ prompt: "-" }, new Readable({ read() {} }), interrupt.signal);
    interrupt.abort(new Error("interrupted"));
    await assert.rejects(waiting, (error: Error) => (error.cause as Error | undefined)?.message === "interrupted");
  });
});

describe("end tokens", () => {
  test("are the tokenizer's, and those of the generation's or the model's configuration", async () => {
    await withFolder(async (folder) => {
      const found = async () => [...(await endTokens(folder, 7))];
      assert.deepEqual(await found(), [7]);
      await writeFile(join(folder, "config.json"), `{"eos_token_id": 5}`);
      assert.deepEqual(await found(), [7, 5]);
      await writeFile(join(folder, "generation_config.json"), `{"eos_token_id": [7, 9]}`);
      assert.deepEqual(await found(), [7, 9]);
      await writeFile(join(folder, "generation_config.json"), "{");
      await assert.rejects(found(), /generation_config.json is not valid JSON; download the model again/);
    });
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { drawToken, mostLikely, uniforms } from "../src/inference/next-token.js";
import { TextStream } from "../src/inference/text-stream.js";

describe("next token", () => {
  test("the most likely one, the first of equals", () => {
    assert.equal(mostLikely(Float32Array.of(-1, 3, 3, 2)), 1);
  });

  test("draws follow softmax(logits / temperature)", () => {
    const logits = Float32Array.of(0, 1, 2);
    const temperature = 0.5;
    const weights = [0, 1, 2].map((logit) => Math.exp(logit / temperature));
    const total = weights.reduce((sum, weight) => sum + weight);
    const counts = [0, 0, 0];
    const random = uniforms(7);
    const draws = 20_000;
    for (let i = 0; i < draws; i++) counts[drawToken(logits, temperature, random.next().value)]!++;
    for (const [i, weight] of weights.entries()) {
      assert.ok(Math.abs(counts[i]! / draws - weight / total) < 0.015, `${i}: ${counts.join()}`);
    }
  });

  test("extreme logits and temperatures draw what is possible", () => {
    const logits = Float32Array.of(-1e38, 1e4, -1e4);
    for (const uniform of [0, 0.5, 1 - 2 ** -32]) assert.equal(drawToken(logits, 1e-3, uniform), 1);
  });

  test("numbers depend on the seed, lie in [0, 1), and on average in the middle", () => {
    const first = (seed: number) => {
      const random = uniforms(seed);
      return Array.from({ length: 1000 }, () => random.next().value);
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
    const pieces = Array.from(bytes, (_, i) => stream.next([...bytes.subarray(0, i + 1)], false));
    assert.deepEqual(pieces, ["n", "", "é", " ", "", "", "", "🙂", "!"]);
  });

  test("at the end shows what stayed unfinished", () => {
    const stream = new TextStream(decode);
    const cut = [...bytes.subarray(0, 6)];
    assert.equal(stream.next(cut, false), "né ");
    assert.equal(stream.next(cut, true), "\ufffd");
  });
});

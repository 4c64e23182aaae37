/** Blocks become, to the bit, the numbers that gguf-py makes of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dequantize } from "@gradpool/gguf";
import { readSafetensors } from "@gradpool/safetensors";
import { fixture, parse } from "./support.js";

const bytes = fixture("blocks.gguf");
const file = parse(bytes);
const expected = readSafetensors(fixture("blocks.safetensors")).tensors;

for (const { name, type, shape, begin, end } of file.tensors.values()) {
  test(name, () => {
    assert.equal(type.name, name);
    const reference = expected.get(name);
    assert.deepEqual(shape, reference?.shape);
    const { buffer } = dequantize(type, bytes.subarray(begin, end));
    assert.deepEqual(Buffer.from(buffer), Buffer.from(reference?.data ?? []));
  });
}

test("every tensor of the fixture was compared", () => assert.equal(file.tensors.size, expected.size));

test("metadata of every kind", () => {
  assert.equal(file.metadata.get("text"), "naïve 日本 🚀");
  assert.equal(file.metadata.get("negative"), -3);
  const numbers = file.metadata.get("numbers");
  assert.ok(typeof numbers === "object" && !Array.isArray(numbers));
  assert.deepEqual(
    [0, 1, 2].map((i) => numbers.at(i)),
    [1.5, -2.5, undefined],
  );
});

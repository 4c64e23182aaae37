import assert from "node:assert/strict";
import { test } from "node:test";
import { headerLength, parseHeader, readSafetensors, toFloat32, writeSafetensors } from "../src/index.js";
import { ADAPTERS, bytesOf, EVERY_DTYPE } from "./support.js";

for (const path of [EVERY_DTYPE, ...ADAPTERS]) {
  test(`${path} written again has the bytes of Hugging Face's writer`, () => {
    const original = bytesOf(path);
    const { tensors, metadata } = readSafetensors(original);
    assert.deepEqual({ ...metadata }, { format: "pt" });
    const shuffled = new Map([...tensors].reverse());
    assert.deepEqual(writeSafetensors(shuffled, metadata), original);
  });
}

test("every element type and awkward name is read", () => {
  const { tensors } = readSafetensors(bytesOf(EVERY_DTYPE));
  for (const dtype of ["F64", "F32", "BF16", "F16"]) {
    const tensor = tensors.get(`z${dtype}`);
    assert.ok(tensor);
    assert.equal(tensor.dtype, dtype);
    assert.deepEqual([...toFloat32(tensor)], [0, 1, -3]);
    assert.deepEqual(tensors.get(`a${dtype}`)?.shape, [2, 0]);
  }
  assert.deepEqual([...(tensors.get("zI64")?.data ?? [])].slice(0, 9), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual(tensors.get("9")?.shape, []);
  assert.ok(tensors.has('é"\\\n\x01\x7f😀') && tensors.has("__proto__"));
});

test("offsets count from the start of the file", () => {
  const file = bytesOf(EVERY_DTYPE);
  const length = headerLength(file.subarray(0, 8));
  const header = parseHeader(file.subarray(0, 8 + length), file.byteLength);
  assert.equal(header.headerBytes, 8 + length);
  const entry = header.tensors.get("9");
  assert.ok(entry);
  const scalar = new DataView(file.buffer, file.byteOffset + entry.begin, 4).getFloat32(0, true);
  assert.deepEqual([entry.end - entry.begin, scalar], [4, 1.5]);
});

test("a file without tensors is read and written", () => {
  const file = writeSafetensors(new Map());
  assert.equal(new TextDecoder().decode(file.subarray(8)), "{}      ");
  assert.equal(readSafetensors(file).tensors.size, 0);
});

test("metadata keys are written in one order", () => {
  const a = writeSafetensors(new Map(), { b: "1", a: "2", "10": "3" });
  const b = writeSafetensors(new Map(), { "10": "3", a: "2", b: "1" });
  assert.deepEqual(a, b);
  assert.deepEqual({ ...readSafetensors(a).metadata }, { a: "2", b: "1", "10": "3" });
});

test("a shape that does not fit its data is refused by the writer", () => {
  assert.throws(() => writeSafetensors(new Map([["x", { shape: [3], data: new Float32Array(2) }]])), /\[3\]/);
});

/** Files that torch wrote are read as torch reads them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSafetensors } from "@gradpool/safetensors";
import { dictOf, fixture, readBytes, refuses, tensorOf, torchFileOf } from "./support.js";

for (const name of ["state_dict.bin", "old.bin"])
  test(`${name}: every element type, views, shared storages, parameters, scalars, empty tensors`, async () => {
    const file = fixture(name);
    const { tensors } = await readBytes(file);
    const expected = readSafetensors(fixture("state_dict.safetensors")).tensors;
    assert.deepEqual(new Set(tensors.keys()), new Set(expected.keys()));
    for (const [name, { dtype, shape, data }] of expected) {
      const entry = tensors.get(name);
      assert.ok(entry);
      assert.deepEqual([entry.dtype, entry.shape], [dtype, shape], name);
      assert.deepEqual(file.subarray(entry.begin, entry.end), Buffer.from(data), name);
    }
  });

test("tensors are where ONNX Runtime can map them", async () => {
  const { tensors } = await readBytes(fixture("pytorch_model.bin"));
  const wte = tensors.get("transformer.wte.weight");
  assert.equal((wte?.begin ?? 1) % 64, 0);
  assert.equal(tensors.get("lm_head.weight")?.begin, wte?.begin);
});

test("the fingerprint tells of changed weights: it holds their CRC-32", async () => {
  const weights = (value: number) => torchFileOf(dictOf({ weight: tensorOf() }), { 0: new Uint8Array(16).fill(value) });
  const [zeros, ones] = await Promise.all([readBytes(weights(0)), readBytes(weights(1))]);
  assert.notDeepEqual(zeros.fingerprint, ones.fingerprint);
});

test("code is refused by its name", () =>
  refuses(fixture("code.bin"), "failed_precondition", /"posix\.system", which gradpool never/));
test("a module instead of tensors", () => refuses(fixture("module.bin"), "failed_precondition", /linear\.Linear/));
test("a transposed tensor is found with its strides", async () => {
  const { tensors, strided } = await readBytes(fixture("strided.bin"));
  assert.equal(tensors.size, 0);
  assert.deepEqual(strided.get("weight")?.strides, [1, 2]);
});

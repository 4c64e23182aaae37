/** The memory that results arrive in. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { writeSafetensors } from "@gradpool/safetensors";
import { GradientFiles } from "../src/runs/gradient-files.js";

const fileOf = (name: string, ...data: number[]) =>
  writeSafetensors(new Map([[name, { shape: [data.length], data: Float32Array.from(data) }]]));

/** Names of all files whose header was checked. */
const checked: string[] = [];

function arrive(files: GradientFiles, file: Uint8Array) {
  const memory = files.take(file.byteLength);
  memory.set(file);
  return { memory, gradients: files.read(memory, (gradients) => checked.push(...gradients.keys())) };
}

describe("the memory of results", () => {
  it("is used again once they are given back, and never before", () => {
    const files = new GradientFiles();
    const first = arrive(files, fileOf("a", 1, 2));
    const second = arrive(files, fileOf("a", 3, 4));
    assert.notEqual(second.memory, first.memory);
    files.giveBack(first.gradients);
    files.giveBack(first.gradients);
    const [third, fourth] = [arrive(files, fileOf("a", 5, 6)), arrive(files, fileOf("a", 7, 8))];
    assert.equal(third.memory, first.memory);
    assert.notEqual(fourth.memory, third.memory);
    const values = [second, third, fourth].map(({ gradients }) => [...(gradients.get("a")?.data ?? [])]);
    assert.deepEqual(values, [
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
  });

  it("is not given back a second time while another result arrives in it", () => {
    const files = new GradientFiles();
    const { memory, gradients } = arrive(files, fileOf("a", 1, 2));
    files.giveBack(gradients);
    assert.equal(files.take(memory.byteLength), memory);
    files.giveBack(gradients);
    assert.notEqual(files.take(memory.byteLength), memory);
  });

  it("is freed beyond a bound", () => {
    const files = new GradientFiles();
    const large = writeSafetensors(new Map([["a", { shape: [6 << 20], data: new Float32Array(6 << 20) }]]));
    const arrived = [1, 2, 3].map(() => arrive(files, large));
    for (const { gradients } of arrived) files.giveBack(gradients);
    const taken = arrived.map(() => files.take(large.byteLength));
    const isUsedAgain = arrived.map(({ memory }) => taken.includes(memory));
    assert.deepEqual(isUsedAgain, [true, true, false]);
  });

  it("is read from scratch when another layout arrives in it", () => {
    const files = new GradientFiles();
    const first = arrive(files, fileOf("a", 1, 2));
    files.giveBack(first.gradients);
    checked.length = 0;
    const same = arrive(files, fileOf("a", 3, 4));
    assert.deepEqual(checked, []);
    files.giveBack(same.gradients);
    const other = arrive(files, fileOf("b", 5, 6));
    assert.equal(other.memory, first.memory);
    assert.deepEqual(checked, ["b"]);
    assert.deepEqual(
      [...other.gradients].map(([name, { data }]) => [name, ...data]),
      [["b", 5, 6]],
    );
  });

  it("serves files of its size only", () => {
    const files = new GradientFiles();
    const { memory, gradients } = arrive(files, fileOf("a", 1, 2));
    files.giveBack(gradients);
    assert.notEqual(files.take(memory.byteLength + 4), memory);
    assert.equal(files.take(memory.byteLength), memory);
  });
});

/** Products with weights of eight bits, against NumPy's (fixtures/make_int8.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Graph } from "@gradpool/graph";
import { int8Product } from "../src/groups/int8-product.js";
import { compile } from "./evaluate.js";

const FIXTURE = new URL("../../test/fixtures/int8.json", import.meta.url);
const fixture = JSON.parse(readFileSync(FIXTURE, "utf8")) as {
  shape: [number, number, number];
  x: number[];
  w: number[];
  once: number[];
  twice: number[];
};
const [, INNER, COLUMNS] = fixture.shape;
const X = Float32Array.from(fixture.x);

const transposed = (w: number[]) =>
  Float32Array.from(w, (_, i) => w[(i % INNER) * COLUMNS + Math.floor(i / INNER)] ?? NaN);

/** The product's rows, for x of any number of rows. */
async function product({ transB = false, twice = false, unsigned = false, w = fixture.w }) {
  const graph = new Graph(false, unsigned);
  const weight = graph.literal(
    transB ? transposed(w) : Float32Array.from(w),
    transB ? [COLUMNS, INNER] : [INNER, COLUMNS],
  );
  graph.output("y", int8Product(graph.input("x", "float32", ["N", INNER]), weight, { transB, twice }));
  return async (x: Float32Array): Promise<Float32Array[]> => {
    const { y = assert.fail() } = await (await compile(graph, { N: x.length / INNER }))({ x });
    return Array.from({ length: x.length / INNER }, (_, row) => y.slice(row * COLUMNS, (row + 1) * COLUMNS));
  };
}

const rowOf = (x: Float32Array, row: number) => x.slice(row * INNER, (row + 1) * INNER);

for (const transB of [false, true]) {
  for (const twice of [false, true]) {
    const kind = `${transB ? "[out, in]" : "[in, out]"}, ${twice ? "with what rounding leaves" : "rounded once"}`;
    test(`${kind}: NumPy's numbers, of outliers, zeros, halves and tiny values`, async () => {
      const rows = await (await product({ transB, twice }))(X);
      for (const [row, values] of rows.entries()) {
        const expected = (twice ? fixture.twice : fixture.once).slice(row * COLUMNS, (row + 1) * COLUMNS);
        const largest = Math.max(...expected.map(Math.abs));
        for (const [i, value] of values.entries()) {
          const off = Math.abs(value - (expected[i] ?? NaN));
          assert.ok(off <= 5e-7 * largest, `row ${row}: ${value} instead of ${expected[i]}`);
        }
      }
    });
  }
}

test("a row's bits do not depend on the rows beside it (I1)", async () => {
  const run = await product({ twice: true });
  const together = await run(X);
  for (const [row, values] of together.entries()) assert.deepEqual(await run(rowOf(X, row)), [values]);
});

test("where products with int8 overflow, those with uint8 give the same bits", async () => {
  for (const transB of [false, true]) {
    const [signed, unsigned] = await Promise.all(
      [false, true].map((u) => product({ transB, unsigned: u, twice: true })),
    );
    assert.deepEqual(await unsigned?.(X), await signed?.(X));
  }
});

test("NaN and infinity come out of their row, wherever they are, and of no other", async () => {
  for (const twice of [false, true]) {
    const run = await product({ twice });
    const sound = await run(X);
    for (const value of [NaN, Infinity, -Infinity]) {
      for (const at of [0, 1, INNER - 1]) {
        const x = X.slice();
        x[INNER + at] = value;
        const [first, broken = [], ...others] = await run(x);
        assert.ok(
          [...broken].every((y) => !Number.isFinite(y)),
          `${value} at ${at} gave ${[...broken].join(", ")}`,
        );
        assert.deepEqual([first, ...others], [sound[0], ...sound.slice(2)]);
      }
    }
  }
});

test("NaN in a weight comes out of its column", async () => {
  const w = fixture.w.map((value, i) => (i === 7 * COLUMNS + 1 ? NaN : value));
  const [row = []] = await (await product({ w }))(X);
  assert.deepEqual([...row].map(Number.isNaN), [false, true, false, false, false]);
});

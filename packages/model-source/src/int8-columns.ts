/**
 * A matrix as whole numbers of eight bits, piece by piece, with one scale for each column of the product that it is for:
 * bit for bit what @gradpool/graph's `int8Product` computes from float32 in ops.
 */

/** The largest number of eight bits that has its negative; its reciprocal in float32, which scales are computed with. */
const SHARE = Math.fround(1 / 127);
/** 1.5 · 2^23: a float32 of up to 2^22 plus this is rounded half to even, and exact after it is subtracted. */
const ROUNDING = 12_582_912;
/** Rows that are transposed together: one cache line of numbers. */
const BLOCK_ROWS = 64;

/** For x·W: the scale of each column of W, from its rows in any pieces. */
export class ColumnScales {
  readonly #largest: Float32Array;
  /** 0, or NaN where a column has NaN or infinity. */
  readonly #broken: Float32Array;

  constructor(columns: number) {
    this.#largest = new Float32Array(columns);
    this.#broken = new Float32Array(columns);
  }

  add(rows: Float32Array): void {
    const [largest, broken] = [this.#largest, this.#broken];
    const columns = largest.length;
    for (let begin = 0; begin < rows.length; begin += columns) {
      for (let column = 0; column < columns; column++) {
        const value = rows[begin + column]!;
        const size = Math.abs(value);
        if (size > largest[column]!) largest[column] = size;
        broken[column]! += value * 0;
      }
    }
  }

  get scales(): Float32Array<ArrayBuffer> {
    return this.#largest.map((largest, column) => Math.fround(largest * SHARE) + this.#broken[column]!);
  }
}

/** Whole rows of W as numbers, for x·W. */
export function quantizePlain(rows: Float32Array, scales: Float32Array): Int8Array<ArrayBuffer> {
  const numbers = new Int8Array(rows.length);
  const columns = scales.length;
  for (let begin = 0; begin < rows.length; begin += columns) {
    for (let column = 0; column < columns; column++) {
      numbers[begin + column] = quantized(rows[begin + column]!, scales[column]!);
    }
  }
  return numbers;
}

/**
 * Rows of W from `firstRow` on as numbers, for x·Wᵀ: into columns of `numbers` [columns, rows of all pieces], and their
 * scales.
 */
export function quantizeTransposed(
  rows: Float32Array,
  columns: number,
  firstRow: number,
  { numbers, scales }: { numbers: Int8Array; scales: Float32Array },
): void {
  const count = rows.length / columns;
  const height = scales.length;
  const block = new Int8Array(BLOCK_ROWS * columns);
  for (let from = 0; from < count; from += BLOCK_ROWS) {
    const to = Math.min(from + BLOCK_ROWS, count);
    for (let row = from; row < to; row++) {
      const values = rows.subarray(row * columns, (row + 1) * columns);
      const scale = scaleOf(values);
      scales[firstRow + row] = scale;
      const begin = (row - from) * columns;
      for (let column = 0; column < columns; column++) block[begin + column] = quantized(values[column]!, scale);
    }
    for (let column = 0; column < columns; column++) {
      const begin = column * height + firstRow;
      for (let row = from; row < to; row++) numbers[begin + row] = block[(row - from) * columns + column]!;
    }
  }
}

function scaleOf(values: Float32Array): number {
  let largest = 0;
  let broken = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const size = Math.abs(value);
    if (size > largest) largest = size;
    broken += value * 0;
  }
  return Math.fround(Math.fround(largest * SHARE) + broken);
}

/** value / scale, rounded half to even; 0 where the column is all zeros, and where its scale is NaN. */
function quantized(value: number, scale: number): number {
  const rounded = Math.fround(Math.fround(Math.fround(value / scale) + ROUNDING) - ROUNDING);
  // Subnormal scales are coarse. NaN fails both comparisons, and is stored as 0.
  return rounded > 127 ? 127 : rounded < -128 ? -128 : rounded;
}

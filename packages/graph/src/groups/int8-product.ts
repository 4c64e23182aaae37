/**
 * Products with a frozen weight as whole numbers of eight bits, which a processor multiplies several times as fast as
 * float32. Each row gets its own scale when the graph runs, so that its result does not depend on the others (I1); the
 * weight gets one for each column of the product, once: in a file beside the graph, or by ops on constants, which ONNX
 * Runtime folds when the session is made. Sums are exact, so that threads and kernels change no bit (I2).
 */
import {
  add,
  cast,
  dequantizeRows,
  matmulInteger,
  maximum,
  mul,
  quantizeRows,
  reduceMax,
  reduceMin,
  reduceSum,
  reshape,
  scale,
  sub,
  transpose,
} from "../ops/index.js";
import type { Int8Matrix, Value } from "../graph.js";

interface Options {
  transB?: boolean;
  /** What rounding leaves of the rows is multiplied as well: as if they had sixteen bits, for twice the work. */
  twice?: boolean;
}

/** The largest number of eight bits that has its negative. */
const LARGEST = 127;

/** x·op(weight) for x [N, K]: [N, M] float32. A row that holds NaN or infinity gives what is not finite. No gradient. */
export function int8Product(x: Value, weight: Value, { transB = false, twice = false }: Options = {}): Value {
  return x.graph.withoutTape(() => {
    const known = x.graph.int8[transB ? "transposed" : "plain"].get(weight);
    const matrix = known ?? quantizeColumns(weight, transB);
    const rowScale = scaleOfRows(x);
    const rows = quantizeRows(x, rowScale, "uint8");
    let y = matmulInteger(rows, matrix);
    if (twice) {
      // What rounding left is at most half of the scale.
      const left = sub(x, dequantizeRows(rows, rowScale));
      const finer = 0.5 / LARGEST;
      y = add(y, matmulInteger(quantizeRows(left, scale(rowScale, finer), "uint8"), matrix, finer));
    }
    return mul(y, reshape(rowScale, ["rest", 1]));
  });
}

/** op(weight) in ops on constants. */
function quantizeColumns(weight: Value, transB: boolean): Int8Matrix {
  const wide = cast(weight, "float32");
  // By rows, which takes a sixth of the time that columns do.
  const columns = transB ? wide : transpose(wide, [1, 0]);
  const scales = scaleOfRows(columns);
  const numbers = quantizeRows(columns, scales, weight.graph.unsignedWeights ? "uint8" : "int8");
  return { numbers: transpose(numbers, [1, 0]), scales };
}

/**
 * For each row of a matrix what its numbers are divided by: then the largest is ±127. Quantizing makes a number of NaN, and
 * the largest of numbers and NaN may be a number; a sum with it is NaN, and zero times that as well.
 */
function scaleOfRows(x: Value): Value {
  const largest = maximum(reduceMax(x, -1), scale(reduceMin(x, -1), -1));
  return add(scale(largest, 1 / LARGEST), scale(reduceSum(x, [-1], false), 0));
}

/** Matrix products, which take nine tenths of a step's time. */
import { dimOf, sameShape, type Dim } from "../dims.js";
import type { TensorType, Value } from "../graph.js";
import { defineOp } from "../op.js";

/** [rows, columns] after the optional transposition of the last two axes. */
function matrix({ shape }: TensorType, transposed: boolean): [Dim, Dim] {
  const [rows, columns] = [dimOf(shape, -2), dimOf(shape, -1)];
  return transposed ? [columns, rows] : [rows, columns];
}

function product(a: TensorType, b: TensorType, transA: boolean, transB: boolean): [Dim, Dim] {
  const [rows, inner] = matrix(a, transA);
  const [inner2, columns] = matrix(b, transB);
  if (inner !== inner2) throw new Error(`matrices [${a.shape.join(", ")}] and [${b.shape.join(", ")}] do not multiply`);
  if (a.dtype !== b.dtype) throw new Error(`matrices are ${a.dtype} and ${b.dtype}`);
  return [rows, columns];
}

/** ONNX Runtime's MatMul, in which transposes and a factor are free. */
const fusedMatMul = defineOp({
  name: "FusedMatMul",
  domain: "com.microsoft",
  inputs: ["a", "b"],
  attributes: { transA: "flag", transB: "flag", alpha: "float" },
  infer: ({ a, b }, { transA, transB }) => {
    const batch = a.shape.slice(0, -2);
    if (!sameShape(batch, b.shape.slice(0, -2))) throw new Error("matmul: leading axes differ");
    return [{ dtype: a.dtype, shape: [...batch, ...product(a, b, transA, transB)] }];
  },
  vjp: {
    a: (g, { b }, { transA, transB, alpha }) =>
      transA ? matmul(b, g, { transA: transB, transB: true, alpha }) : matmul(g, b, { transB: !transB, alpha }),
    b: (g, { a }, { transA, transB, alpha }) =>
      transB ? matmul(g, a, { transA: true, transB: transA, alpha }) : matmul(a, g, { transA: !transA, alpha }),
  },
});

interface MatMulOptions {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
}

/** alpha · op(a) · op(b), op transposing the last two axes where asked. Leading axes must be equal. */
export const matmul = (a: Value, b: Value, options: MatMulOptions = {}): Value =>
  fusedMatMul({ a, b }, { transA: false, transB: false, alpha: 1, ...options })[0];

const gemmOp = defineOp({
  name: "Gemm",
  inputs: ["a", "b", "c"],
  attributes: { transB: "flag" },
  infer: ({ a, b, c }, { transB }) => {
    const shape = product(a, b, false, transB);
    const fits = sameShape(c.shape, shape) || sameShape(c.shape, shape.slice(1));
    if (a.shape.length !== 2 || b.shape.length !== 2 || !fits) throw new Error("Gemm: shapes do not fit");
    return [{ dtype: a.dtype, shape }];
  },
  vjp: {
    a: (g, { b }, { transB }) => matmul(g, b, { transB: !transB }),
    b: (g, { a }, { transB }) => (transB ? matmul(g, a, { transA: true }) : matmul(a, g, { transA: true })),
    c: (g) => g,
  },
});
/** a · op(b) + c for matrices; c a matrix of the result's shape, or a row vector added to each row. */
export const gemm = (a: Value, b: Value, c: Value, { transB = false }: { transB?: boolean } = {}): Value =>
  gemmOp({ a, b, c }, { transB })[0];

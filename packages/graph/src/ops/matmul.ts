import { sameShape, type Dim } from "../dims.js";
import { matmul, reduceSum, reshape } from "../functional.js";
import type { Attributes, Node, TensorType } from "../graph.js";
import { input, outputGradient } from "./node-parts.js";
import type { OpRule } from "./table.js";

/** [rows, columns] after the optional transposition of the last two axes. */
function matrix({ shape }: TensorType, transposed: boolean): [Dim, Dim] {
  const [rows, columns] = [input(shape, shape.length - 2), input(shape, shape.length - 1)];
  return transposed ? [columns, rows] : [rows, columns];
}

function product(a: TensorType, b: TensorType, transA: boolean, transB: boolean): [Dim, Dim] {
  const [rows, inner] = matrix(a, transA);
  const [inner2, columns] = matrix(b, transB);
  if (inner !== inner2) throw new Error(`matrices [${a.shape.join(", ")}] and [${b.shape.join(", ")}] do not multiply`);
  if (a.dtype !== b.dtype) throw new Error(`matrices are ${a.dtype} and ${b.dtype}`);
  return [rows, columns];
}

const flag = (attributes: Attributes, name: string) => attributes[name] === 1;

interface MatMulOptions {
  transA: boolean;
  transB: boolean;
  alpha: number;
}

const fused = ({ attributes }: Node): MatMulOptions => ({
  transA: flag(attributes, "transA"),
  transB: flag(attributes, "transB"),
  alpha: attributes["alpha"] as number,
});

export type MatMulOp = "FusedMatMul" | "Gemm";

export const matmulOps: Record<MatMulOp, OpRule> = {
  /** ONNX Runtime's MatMul with transposes and a factor riding along. Leading axes must be equal. */
  FusedMatMul: {
    domain: "com.microsoft",
    attributes: { transA: "int", transB: "int", alpha: "float" },
    infer: (inputs, attributes) => {
      const [a, b] = [input(inputs, 0), input(inputs, 1)];
      const batch = a.shape.slice(0, -2);
      if (!sameShape(batch, b.shape.slice(0, -2))) throw new Error("matmul: leading axes differ");
      const shape = [...batch, ...product(a, b, flag(attributes, "transA"), flag(attributes, "transB"))];
      return [{ dtype: a.dtype, shape }];
    },
    vjp: [
      (node, gradients) => {
        const { transA, transB, alpha } = fused(node);
        const [g, b] = [outputGradient(gradients), input(node.inputs, 1)];
        return transA
          ? matmul(b, g, { transA: transB, transB: true, alpha })
          : matmul(g, b, { transB: !transB, alpha });
      },
      (node, gradients) => {
        const { transA, transB, alpha } = fused(node);
        const [g, a] = [outputGradient(gradients), input(node.inputs, 0)];
        return transB
          ? matmul(g, a, { transA: true, transB: transA, alpha })
          : matmul(a, g, { transA: !transA, alpha });
      },
    ],
  },
  /** a·op(b) + c for matrices. */
  Gemm: {
    domain: "",
    attributes: { transB: "int" },
    infer: (inputs, attributes) => {
      const [a, b, c] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
      const shape = product(a, b, false, flag(attributes, "transB"));
      const fits = sameShape(c.shape, shape) || sameShape(c.shape, shape.slice(1));
      if (a.shape.length !== 2 || b.shape.length !== 2 || !fits) throw new Error("Gemm: shapes do not fit");
      return [{ dtype: a.dtype, shape }];
    },
    vjp: [
      (node, gradients) =>
        matmul(outputGradient(gradients), input(node.inputs, 1), { transB: !flag(node.attributes, "transB") }),
      (node, gradients) => {
        const [g, a] = [outputGradient(gradients), input(node.inputs, 0)];
        return flag(node.attributes, "transB") ? matmul(g, a, { transA: true }) : matmul(a, g, { transA: true });
      },
      (node, gradients) => {
        const [g, c] = [outputGradient(gradients), input(node.inputs, 2)];
        return c.shape.length === 2 ? g : reshape(reduceSum(g, [0]), c.shape);
      },
    ],
  },
};

import { sameShape } from "../dims.js";
import type { TensorType } from "../graph.js";
import { input } from "./node-parts.js";
import type { OpRule } from "./table.js";

const integers = ({ dtype }: TensorType) => {
  if (dtype !== "int64") throw new Error(`indices are ${dtype}`);
};

/** Embedding look-ups. Their tables are frozen, so no gradient is needed. */
export type IndexingOp = "Gather" | "GatherElements";

export const indexingOps: Record<IndexingOp, OpRule> = {
  Gather: {
    domain: "",
    attributes: { axis: "int" },
    infer: (inputs) => {
      const [table, indices] = [input(inputs, 0), input(inputs, 1)];
      integers(indices);
      return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
    },
    vjp: [null, null],
  },
  GatherElements: {
    domain: "",
    attributes: { axis: "int" },
    infer: (inputs) => {
      const [x, indices] = [input(inputs, 0), input(inputs, 1)];
      integers(indices);
      if (!sameShape(x.shape.slice(0, 1), indices.shape.slice(0, 1))) throw new Error("GatherElements: rows differ");
      return [{ dtype: x.dtype, shape: indices.shape }];
    },
    vjp: [null, null],
  },
};

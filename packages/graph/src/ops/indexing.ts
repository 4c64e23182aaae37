/** Look-ups. Their tables are frozen, so they have no gradient. */
import { sameShape } from "../dims.js";
import type { TensorType, Value } from "../graph.js";
import { defineOp } from "../op.js";
import { cast } from "./elementwise.js";

const requireIntegers = ({ dtype }: TensorType) => {
  if (dtype !== "int64") throw new Error(`indices are ${dtype}`);
};

const gatherOp = defineOp({
  name: "Gather",
  inputs: ["table", "indices"],
  attributes: { axis: "int" },
  infer: ({ table, indices }) => {
    requireIntegers(indices);
    return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
  },
  vjp: {},
});
/** Rows of `table` [V, …] at `indices`. */
export const gather = (table: Value, indices: Value): Value => gatherOp({ table, indices }, { axis: 0 })[0];
/** The same in float32, whatever the table is kept in. */
export const embed = (table: Value, indices: Value): Value => cast(gather(table, indices), "float32");

const gatherElementsOp = defineOp({
  name: "GatherElements",
  inputs: ["x", "indices"],
  attributes: { axis: "int" },
  infer: ({ x, indices }) => {
    requireIntegers(indices);
    if (!sameShape(x.shape.slice(0, 1), indices.shape.slice(0, 1))) throw new Error("GatherElements: rows differ");
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  vjp: {},
});
/** x[n, indices[n, k]] for x [N, V], indices [N, K]. */
export const gatherElements = (x: Value, indices: Value): Value => gatherElementsOp({ x, indices }, { axis: 1 })[0];

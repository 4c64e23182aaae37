import { rotary, scale } from "../functional.js";
import { input, outputGradient } from "./node-parts.js";
import type { OpRule } from "./table.js";

export type RotaryOp = "RotaryEmbedding";

export const rotaryOps: Record<RotaryOp, OpRule> = {
  /** Inputs: x [B, H, S, D], the first position [1], cosines and sines [S, D/2]. Angles are frozen. */
  RotaryEmbedding: {
    domain: "com.microsoft",
    attributes: {},
    infer: (inputs) => {
      const [x, cosines] = [input(inputs, 0), input(inputs, 2)];
      const [size, half] = [x.shape.at(-1), cosines.shape.at(-1)];
      if (typeof size !== "number" || size !== 2 * Number(half)) throw new Error("RotaryEmbedding: sizes do not fit");
      return [{ dtype: x.dtype, shape: x.shape }];
    },
    // A rotation's transpose is the rotation back.
    vjp: [
      (node, gradients) => rotary(outputGradient(gradients), input(node.inputs, 2), scale(input(node.inputs, 3), -1)),
      null,
      null,
      null,
    ],
  },
};

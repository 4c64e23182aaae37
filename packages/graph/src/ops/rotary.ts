/** Rotary positions. */
import type { Value } from "../graph.js";
import { defineOp, sameType } from "../op.js";
import { scale } from "./elementwise.js";

/** Inputs: x [B, H, S, D], positions (the first [1], or all [B, S]), cosines and sines [S, D/2]. Angles are frozen. */
const rotaryEmbedding = defineOp({
  name: "RotaryEmbedding",
  domain: "com.microsoft",
  inputs: ["x", "positions", "cosines", "sines"],
  infer: ({ x, cosines }) => {
    const [size, half] = [x.shape.at(-1), cosines.shape.at(-1)];
    if (typeof size !== "number" || size !== 2 * Number(half)) throw new Error("RotaryEmbedding: sizes do not fit");
    return sameType({ x });
  },
  // A rotation's transpose is the rotation back.
  vjp: {
    x: (g, { positions, cosines, sines }) => rotary(g, cosines, scale(sines, -1), positions),
  },
});
/**
 * Rotates pairs (i, i + D/2) of x [B, H, S, D] by angles whose cosines and sines are [S, D/2] (Su et al. 2021). Each
 * element of `positions` [B, S] says whose angles a place takes; without it, place s takes those of s.
 */
export const rotary = (x: Value, cosines: Value, sines: Value, positions?: Value): Value =>
  rotaryEmbedding({ x, positions: positions ?? x.graph.literal(BigInt64Array.of(0n), [1]), cosines, sines }, {})[0];

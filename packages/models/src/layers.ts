/** The layers that families share. Names are those of transformers' modules, without the model's own prefix. */
import {
  adaptedLinear,
  attention,
  dropout,
  layerNorm,
  reshape,
  rmsNorm,
  transpose,
  type DropoutMask,
  type Shape,
  type Value,
} from "@gradpool/graph";
import type { ForwardContext } from "./family.js";

export interface LayerOptions {
  /** Weights of linear layers are [in, out] (Conv1D) instead of [out, in]. */
  fanInFanOut?: boolean;
  /** Of the normalizations. */
  epsilon: number;
}

/** A dropout of the model's own, as torch names the module. */
export interface Dropout {
  site: string;
  probability: number;
}

/** Layers that take their weights, adapters and masks from a context, under names that begin with `prefix`. */
export class Layers {
  constructor(
    private readonly context: ForwardContext,
    private readonly prefix: string,
    private readonly options: LayerOptions,
  ) {}

  /** x [N, in] to [N, outFeatures], as its adapter has it. */
  linear(x: Value, name: string, outFeatures: number, { bias = true } = {}): Value {
    const { context } = this;
    const { fanInFanOut = false } = this.options;
    const module = { name: this.prefix + name, inFeatures: widthOf(x), outFeatures };
    const shape = fanInFanOut ? [module.inFeatures, outFeatures] : [outFeatures, module.inFeatures];
    const weight = context.weight(`${module.name}.weight`, shape);
    const base = { weight, transposed: !fanInFanOut, ...(context.precision && { precision: context.precision }) };
    const biased = bias ? { ...base, bias: context.weight(`${module.name}.bias`, [outFeatures]) } : base;
    return adaptedLinear(x, biased, context.adapter(module, biased));
  }

  /** Over the last axis of x. */
  layerNorm(x: Value, name: string): Value {
    const parameter = (kind: string) => this.context.weight(`${this.prefix}${name}.${kind}`, [widthOf(x)]);
    return layerNorm(x, parameter("weight"), parameter("bias"), this.options.epsilon);
  }

  /** Over the last axis of x. */
  rmsNorm(x: Value, name: string): Value {
    return rmsNorm(x, this.context.weight(`${this.prefix}${name}.weight`, [widthOf(x)]), this.options.epsilon);
  }

  dropout(x: Value, site: string, probability: number): Value {
    return dropout(x, this.#mask({ site, probability }, x.shape));
  }

  /** Causal attention of q [B, H, S, D] to k and v [B, K, S, D], K a divisor of H, with its heads joined: [N, H·D]. */
  attention(
    q: Value,
    k: Value,
    v: Value,
    dropout: Dropout,
    { scale = 1 / Math.sqrt(widthOf(q)), mask: sees = this.context.causalMask } = {},
  ): Value {
    const [rows, heads, positions] = q.shape as [Shape[number], number, Shape[number]];
    const mask = this.#mask(dropout, [rows, heads, positions, positions]);
    const mixed = attention(q, k, v, sees, scale, mask);
    return reshape(mixed, ["rest", heads * widthOf(q)]);
  }

  #mask({ site, probability }: Dropout, shape: Shape): DropoutMask | undefined {
    if (probability === 0) return undefined;
    return this.context.dropoutMask({ name: this.prefix + site, probability, shape });
  }
}

/** x [N, H·D] as heads [B, S, H, D]. */
export const asHeads = (x: Value, heads: number): Value => reshape(x, ["B", "S", heads, widthOf(x) / heads]);

/** Heads [B, S, H, D] to [B, H, S, D]. */
export const headsFirst = (x: Value): Value => transpose(x, [0, 2, 1, 3]);

const widthOf = (x: Value) => x.shape.at(-1) as number;

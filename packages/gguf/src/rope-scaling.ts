/** Scaled rotary positions: what llama.cpp keeps as numbers or factors, as transformers' rope_scaling. */
import type { MetadataReader } from "./metadata-reader.js";

/** What Llama 3.1 and its successors have in common, and files keep only by their effect. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

interface Rope {
  theta: number;
  headSize: number;
  /** Divisors [D/2] of the frequencies. */
  factors: Float32Array | undefined;
}

/**
 * rope_theta and rope_scaling, by the rules of llama.cpp's llama-model.cpp: a factor without a type is linear, and so is
 * the older rope.scale_linear. Errors: `failed_precondition` for another scaling than linear, yarn and llama3.
 */
export function ropeScaling(metadata: MetadataReader, architecture: string, rope: Rope): Record<string, unknown> {
  const key = (name: string) => `${architecture}.rope.${name}`;
  const given = metadata.optionalText(key("scaling.type"));
  const factor = metadata.optionalNumber(key("scaling.factor")) ?? metadata.optionalNumber(key("scale_linear"));
  const scales = factor !== undefined && factor !== 0 && factor !== 1;
  const type = given ?? (scales ? "linear" : "none");
  const { theta, factors } = rope;
  if (factors) {
    // The last divisor is the longest wave's: the whole factor.
    const parameters = { rope_type: "llama3", factor: factors.at(-1) ?? 1, ...LLAMA3 };
    const fits =
      factors.length === rope.headSize / 2 &&
      llama3Factors(rope, parameters.factor).every((value, i) => Math.abs(value / (factors[i] ?? 0) - 1) < 1e-5);
    if (!fits || (type !== "none" && !(type === "linear" && !scales))) {
      throw metadata.unsupported("its rope_freqs.weight is not that of Llama 3; use the model's safetensors");
    }
    return { rope_theta: theta, rope_scaling: parameters };
  }
  if (type === "none" || (type === "linear" && !scales)) return { rope_theta: theta };
  if (type === "linear") return { rope_theta: theta, rope_scaling: { rope_type: "linear", factor } };
  const context = metadata.count(`${architecture}.context_length`);
  const original = metadata.optionalCount(key("scaling.original_context_length")) ?? context;
  if (type === "yarn" && scales) {
    for (const name of ["yarn_ext_factor", "yarn_attn_factor", "yarn_log_multiplier", "attn_factor"]) {
      if (metadata.file.metadata.has(key(`scaling.${name}`))) throw unsupportedScaling(metadata, `"yarn" with ${name}`);
    }
    const betas = {
      beta_fast: metadata.optionalNumber(key("scaling.yarn_beta_fast")),
      beta_slow: metadata.optionalNumber(key("scaling.yarn_beta_slow")),
    };
    const parameters = { rope_type: "yarn", factor, original_max_position_embeddings: original, ...betas };
    return { rope_theta: theta, rope_scaling: parameters };
  }
  throw unsupportedScaling(metadata, JSON.stringify(type));
}

const unsupportedScaling = (metadata: MetadataReader, what: string) =>
  metadata.unsupported(`rotary positions scaled by ${what} are not supported; use another model`);

/** As llama.cpp's conversion computes them. */
function llama3Factors({ theta, headSize }: Rope, factor: number): number[] {
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = LLAMA3;
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headSize);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

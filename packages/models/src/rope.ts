/** Rotary position embeddings (Su et al. 2021), with frequencies as transformers' modeling_rope_utils computes them. */
import { GradpoolError } from "@gradpool/errors";
import { cast, cos, mul, reshape, sin, type Value } from "@gradpool/graph";
import { ConfigReader } from "./config-reader.js";

const TYPES = ["default", "linear", "llama3"] as const;

/**
 * Radians per position of each pair of a head, [D/2]. Reads rope_parameters (transformers 5) or
 * rope_theta and rope_scaling. Errors: `failed_precondition` for a type other than default, linear, llama3.
 */
export function inverseFrequencies(config: Readonly<Record<string, unknown>>, headSize: number): Float32Array {
  const nested = (config["rope_parameters"] ?? config["rope_scaling"] ?? {}) as Readonly<Record<string, unknown>>;
  const parameters = new ConfigReader({ rope_theta: config["rope_theta"], rope_type: nested["type"], ...nested });
  const theta = parameters.positive("rope_theta", 10_000);
  const type = parameters.oneOf("rope_type", "default", TYPES);
  const plain = Float32Array.from({ length: headSize / 2 }, (_, i) => 1 / Math.fround(theta ** ((2 * i) / headSize)));
  if (type === "default") return plain;
  const factor = parameters.positive("factor", 1);
  if (type === "linear") return plain.map((frequency) => frequency / factor);

  const low = parameters.positive("low_freq_factor", 1);
  const high = parameters.positive("high_freq_factor", 4);
  const original = parameters.positive("original_max_position_embeddings", 8192);
  if (high <= low) throw new GradpoolError("failed_precondition", "config.json: high_freq_factor must exceed low_freq_factor");
  // Long waves are stretched by the factor, short ones kept, those between blended.
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** Cosines and sines [S, D/2] of the positions' angles. */
export function angles(positions: Value, frequencies: Float32Array): { cosines: Value; sines: Value } {
  const perPosition = positions.graph.literal(frequencies, [1, frequencies.length]);
  const radians = mul(cast(reshape(positions, ["S", 1]), "float32"), perPosition);
  return { cosines: cos(radians), sines: sin(radians) };
}

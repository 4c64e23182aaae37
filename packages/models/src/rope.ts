/**
 * Rotary position embeddings (Su et al. 2021), with frequencies as transformers 5.24 computes them: its
 * RotaryEmbeddingConfigMixin reads the settings, its modeling_rope_utils scales the frequencies.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  add,
  cast,
  cos,
  exp,
  greater,
  log,
  mul,
  reshape,
  rotary,
  rowMax,
  scale,
  sin,
  where,
  type Value,
} from "@gradpool/graph";
import { ConfigReader } from "./config-reader.js";
import type { ForwardContext } from "./family.js";

const TYPES = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"] as const;

type Raw = Readonly<Record<string, unknown>>;

export interface Rope {
  /** Radians per position of each pair of the rotated part of a head [R/2]. */
  frequencies: Float32Array;
  /** On cosines and sines (yarn and longrope). */
  attentionFactor: number;
  /** Of sequences that are longer than `original` positions. */
  beyond?: { original: number; frequencies: Float32Array | DynamicNtk };
  /** Positions that the scaling is made for, at least; undefined: as many as config.json says. */
  reach?: number;
}

/** Frequencies that depend on the sequence's length n: base θ·(f·n/original − (f − 1))^(R/(R − 2)). */
interface DynamicNtk {
  theta: number;
  factor: number;
}

/** A family's settings of its rotary positions. */
export interface RopeOptions {
  /** Dimensions of a head that are rotated, R. */
  rotated: number;
  /** max_position_embeddings. */
  positions: number;
  /** config.json's key for θ where rope_parameters has none; 10,000 without it. */
  thetaKey: "rope_theta" | "rotary_emb_base";
}

/** rope_scaling (transformers 4), which wins where both are there, or rope_parameters (transformers 5). */
export function ropeParameters(config: Raw): Raw {
  const isGiven = (value: unknown) => typeof value === "object" && value !== null && Object.keys(value).length > 0;
  return ([config["rope_scaling"], config["rope_parameters"]].find(isGiven) ?? {}) as Raw;
}

/** Errors: `failed_precondition` for a type that is not supported, and for settings that it needs and that are not there. */
export function readRope(config: Raw, { rotated, positions, thetaKey }: RopeOptions): Rope {
  const given = ropeParameters(config);
  const original = config["original_max_position_embeddings"] ?? given["original_max_position_embeddings"] ?? positions;
  const parameters = new ConfigReader(
    { rope_theta: config[thetaKey], rope_type: given["type"], ...given, original_max_position_embeddings: original },
    "rope_parameters.",
  );
  const theta = parameters.positive("rope_theta", 10_000);
  const type = parameters.oneOf("rope_type", "default", TYPES);
  const powers = Float32Array.from({ length: rotated / 2 }, (_, i) => theta ** ((2 * i) / rotated));
  const plain = powers.map((power) => 1 / power);
  const context = { parameters, given, powers, positions, rotated, theta };
  switch (type) {
    case "default":
      return { frequencies: plain, attentionFactor: 1 };
    case "linear": {
      const factor = parameters.positive("factor");
      return { frequencies: plain.map((frequency) => frequency / factor), attentionFactor: 1 };
    }
    case "dynamic": {
      const factor = parameters.positive("factor");
      const beyond = { original: positions, frequencies: { theta, factor } };
      return { frequencies: plain, attentionFactor: 1, beyond, reach: Math.floor(positions * Math.max(1, factor)) };
    }
    case "llama3":
      return { frequencies: llama3(plain, parameters), attentionFactor: 1 };
    case "yarn":
      return yarn(context);
    case "longrope":
      return longrope(context);
  }
}

function llama3(plain: Float32Array, parameters: ConfigReader): Float32Array {
  const factor = parameters.positive("factor");
  const low = parameters.positive("low_freq_factor");
  const high = parameters.positive("high_freq_factor");
  const original = parameters.positive("original_max_position_embeddings");
  if (high <= low)
    throw new GradpoolError("failed_precondition", "config.json: high_freq_factor must exceed low_freq_factor");
  // Long waves are stretched by the factor, short ones kept, those between blended.
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

interface Context {
  parameters: ConfigReader;
  given: Raw;
  /** θ^(2i/R) [R/2]. */
  powers: Float32Array;
  positions: number;
  rotated: number;
  theta: number;
}

/** Peng et al. 2023 (arXiv 2309.00071): _compute_yarn_parameters. */
function yarn({ parameters, given, powers, positions, rotated, theta }: Context): Rope {
  const original = parameters.positive("original_max_position_embeddings");
  if (!("factor" in given)) parameters.positive("factor");
  const factor = parameters.positive("factor", positions / original);
  const mscale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const [over, under] = [Number(given["mscale"] ?? 0), Number(given["mscale_all_dim"] ?? 0)];
  const inferred = over && under ? mscale(over) / mscale(under) : mscale(1);
  const attentionFactor = parameters.positive("attention_factor", inferred);
  // Dimension whose wave turns this often over the original length.
  const dimensionOf = (turns: number) => (rotated * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = parameters.flag("truncate", true);
  const bound = (turns: number, round: (x: number) => number) =>
    truncate ? round(dimensionOf(turns)) : dimensionOf(turns);
  const low = Math.max(bound(Number(given["beta_fast"] ?? 0) || 32, Math.floor), 0);
  const high = Math.min(bound(Number(given["beta_slow"] ?? 0) || 1, Math.ceil), rotated - 1);
  const width = high === low ? 0.001 : high - low;
  const frequencies = powers.map((power, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / width));
    return stretched / (factor * power) + (1 - stretched) / power;
  });
  return { frequencies, attentionFactor, reach: Math.floor(original * Math.max(1, factor)) };
}

/** Ding et al. 2024 (arXiv 2402.13753): _compute_longrope_parameters. */
function longrope({ parameters, powers, positions }: Context): Rope {
  const original = parameters.positive("original_max_position_embeddings");
  const factor = parameters.positive("factor", positions / original);
  const inferred = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const attentionFactor = parameters.positive("attention_factor", inferred);
  const divided = (name: string) => {
    const factors = parameters.numbers(name, powers.length);
    return powers.map((power, i) => 1 / Math.fround((factors[i] as number) * power));
  };
  const frequencies = divided("short_factor");
  const beyond = { original, frequencies: divided("long_factor") };
  return { frequencies, attentionFactor, beyond, reach: Math.floor(original * Math.max(1, factor)) };
}

/**
 * Rotates heads [B, H, S, D] by their positions' angles, whose cosines and sines are [S, D/2]. Of a head's D
 * dimensions the first R are rotated, the others, at angle 0, pass. Where the frequencies depend on the length of the
 * sequence, it is that of the batch's longest text; transformers keeps the longest that it has seen since the last
 * short one, so that there a batch's result may depend on those before.
 */
export function rotation(
  { positions, following, documents }: Pick<ForwardContext, "positions" | "following" | "documents">,
  rope: Rope,
  headSize: number,
): (x: Value) => Value {
  const { graph } = positions;
  const pairs = headSize / 2;
  const row = (values: ArrayLike<number>, rest: number) => {
    const padded = new Float32Array(pairs).fill(rest);
    padded.set(values);
    return graph.literal(padded, [1, pairs]);
  };
  const places = cast(reshape(positions, ["S", 1]), "float32");
  const lengthOf = () => documents?.longest() ?? lengthOfRows(places, following);
  const radians = mul(places, frequenciesOf(rope, row, lengthOf));
  const { attentionFactor, frequencies } = rope;
  const factors =
    attentionFactor === 1 ? undefined : row(new Float32Array(frequencies.length).fill(attentionFactor), 1);
  const scaled = (x: Value) => (factors ? mul(x, factors) : x);
  const [cosines, sines] = [scaled(cos(radians)), scaled(sin(radians))];
  return (x) => rotary(x, cosines, sines, documents?.positions);
}

/** Of the longest row, in tokens [1, 1]: what transformers is given, for positions [S, 1] without its last target. */
const lengthOfRows = (places: Value, following: number): Value =>
  add(rowMax(reshape(places, [1, "S"])), places.graph.scalar(1 + following));

/** [1, D/2]. */
function frequenciesOf(
  { frequencies, beyond }: Rope,
  row: (values: ArrayLike<number>, rest: number) => Value,
  rowLength: () => Value,
): Value {
  const usual = row(frequencies, 0);
  if (!beyond) return usual;
  const length = rowLength();
  const { graph } = length;
  const { original, frequencies: long } = beyond;
  const isLonger = greater(length, graph.scalar(original));
  if (long instanceof Float32Array) return where(isLonger, row(long, 0), usual);
  const { theta, factor } = long;
  const rotated = 2 * frequencies.length;
  const grown = add(scale(length, factor / original), graph.scalar(1 - factor));
  // Up to the original length the base would be smaller; its logarithm, of a negative number even.
  const safe = where(isLonger, grown, graph.scalar(1));
  const logBase = add(scale(log(safe), rotated / (rotated - 2)), graph.scalar(Math.log(theta)));
  const exponents = row(Float32Array.from(frequencies, (_, i) => (-2 * i) / rotated), -Infinity);
  return where(isLonger, exp(mul(logBase, exponents)), usual);
}

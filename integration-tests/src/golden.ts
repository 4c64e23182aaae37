/** The reference runs by transformers + PEFT (fixtures/golden, made by make_golden.py there). */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { LoraSettings } from "@gradpool/adapter";
import { readSafetensors, toFloat32, type FloatTensor, type Tensor } from "@gradpool/safetensors";

export const GOLDEN_CASES = [
  "gpt2-plain",
  "gpt2-codeparrot",
  "gpt2-odd",
  "gpt2-unscaled",
  "llama-gqa",
  "qwen2-bias",
  "qwen3-norm",
  "mistral-gqa",
  "llama3-rope",
  "pythia",
  "neox-sequential",
  "gpt2-patterns",
  "gpt2-dora",
  "llama-dora",
  "gpt2-float16",
] as const;

/** DESIGN tolerances for float32 against PyTorch, all relative. */
export const TOLERANCE = { loss: 1e-5, gradient: 1e-5, logits: 1e-5, adapter: 1e-4 };

export interface GoldenStep {
  step: number;
  epoch: number;
  loss: number;
  grad_norm: number;
  learning_rate: number;
  tokens: number;
}

export interface GoldenRecipe {
  epochs: number;
  batch_size: number;
  gradient_accumulation: number;
  max_length: number;
  learning_rate: number;
  weight_decay: number;
  max_grad_norm: number;
  lr_scheduler: string;
  warmup_steps: number;
  pad_token: string | null;
  /** Type of the base's weights in training; float32 by default. */
  dtype?: string;
  lora: {
    r: number;
    lora_alpha: number;
    use_rslora?: boolean;
    use_dora?: boolean;
    rank_pattern?: Record<string, number>;
    alpha_pattern?: Record<string, number>;
    target_modules: string[] | string;
  };
}

/** A reference run's folder. */
export class Golden {
  readonly dir: string;
  readonly modelDir: string;
  readonly dataFile: string;

  constructor(readonly name: string) {
    this.dir = fileURLToPath(new URL(`../../fixtures/golden/${name}/`, import.meta.url));
    this.modelDir = `${this.dir}model`;
    this.dataFile = `${this.dir}data.jsonl`;
  }

  get recipe(): GoldenRecipe {
    return this.#json("recipe.json") as GoldenRecipe;
  }

  /** The adapter's settings under gradpool's names. */
  get lora(): LoraSettings {
    const { lora } = this.recipe;
    return {
      r: lora.r,
      alpha: lora.lora_alpha,
      dropout: 0,
      targetModules: [lora.target_modules].flat(),
      useRslora: lora.use_rslora ?? false,
      useDora: lora.use_dora ?? false,
      rankPattern: lora.rank_pattern ?? {},
      alphaPattern: lora.alpha_pattern ?? {},
    };
  }

  get steps(): GoldenStep[] {
    return this.#json("reference.json") as GoldenStep[];
  }

  /** The tokenizer has no pad token and the recipe names none, so one is added and the embedding grows. */
  get addsPadToken(): boolean {
    const tokenizer = this.#json("model/tokenizer_config.json") as { pad_token?: string };
    return this.recipe.pad_token === null && tokenizer.pad_token === undefined;
  }

  get texts(): string[] {
    const lines = readFileSync(this.dataFile, "utf8").trim().split("\n");
    return lines.map((line) => (JSON.parse(line) as { content: string }).content);
  }

  tensors(file: string): Map<string, Tensor> {
    return readSafetensors(readFileSync(this.dir + file)).tensors;
  }

  floats(file: string): Map<string, FloatTensor> {
    return new Map(
      [...this.tensors(file)].map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor) }]),
    );
  }

  #json(file: string): unknown {
    return JSON.parse(readFileSync(this.dir + file, "utf8"));
  }
}

/** Largest difference over the expected tensor's largest absolute value. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let largest = 0;
  let difference = 0;
  for (const [i, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs((actual[i] ?? Infinity) - value));
  }
  return difference === 0 ? 0 : difference / largest;
}

/** Of the angle between all tensors of two, taken together. */
export function cosine(a: ReadonlyMap<string, FloatTensor>, b: ReadonlyMap<string, FloatTensor>): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (const [name, { data }] of a) {
    const other = b.get(name)?.data ?? new Float32Array();
    for (const [i, x] of data.entries()) {
      const y = other[i] ?? NaN;
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
  }
  return ab / Math.sqrt(aa * bb);
}

/** ‖B·A − B'·A'‖ / ‖B'·A'‖ (Frobenius) of the worst module: what the adapter does, whatever its factors. */
export function adapterError(
  actual: ReadonlyMap<string, FloatTensor>,
  expected: ReadonlyMap<string, FloatTensor>,
): number {
  const modules = [...expected.keys()].flatMap((name) => /(.*)\.lora_A\.weight$/.exec(name)?.[1] ?? []);
  return Math.max(
    ...modules.map((module) => {
      const want = product(expected, module);
      const got = product(actual, module);
      return Math.sqrt(sumOfSquares(want.map((value, i) => value - (got[i] ?? Infinity))) / sumOfSquares(want));
    }),
  );
}

/**
 * The same for DoRA's magnitudes: for their change since `start`, of the worst module; 0 if there are none.
 */
export function magnitudeError(
  actual: ReadonlyMap<string, FloatTensor>,
  expected: ReadonlyMap<string, FloatTensor>,
  start: ReadonlyMap<string, FloatTensor>,
): number {
  const names = [...expected.keys()].filter((name) => name.endsWith(".lora_magnitude_vector"));
  const errors = names.map((name) => {
    const [got, want, before] = [actual, expected, start].map((tensors) =>
      Float64Array.from(tensors.get(name)?.data ?? []),
    ) as [Float64Array, Float64Array, Float64Array];
    const difference = want.map((value, i) => value - (got[i] ?? Infinity));
    return Math.sqrt(sumOfSquares(difference) / sumOfSquares(want.map((value, i) => value - (before[i] ?? 0))));
  });
  return Math.max(0, ...errors);
}

const sumOfSquares = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);

/** B·A [out · in]. */
function product(tensors: ReadonlyMap<string, FloatTensor>, module: string): Float64Array {
  const a = tensors.get(`${module}.lora_A.weight`);
  const b = tensors.get(`${module}.lora_B.weight`);
  if (!a || !b) throw new Error(`${module} is missing`);
  const [r = 0, inFeatures = 0] = a.shape;
  const [outFeatures = 0] = b.shape;
  const result = new Float64Array(outFeatures * inFeatures);
  for (let o = 0; o < outFeatures; o++) {
    for (let k = 0; k < r; k++) {
      const factor = b.data[o * r + k] ?? 0;
      for (let i = 0; i < inFeatures; i++) result[o * inFeatures + i]! += factor * (a.data[k * inFeatures + i] ?? 0);
    }
  }
  return result;
}

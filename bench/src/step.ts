/** One trainer's step, which the programs here measure: 8 × 128 tokens, LoRA r=8 on the modules that peft.py adapts, AdamW. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adaptedModules, initAdapter } from "@gradpool/adapter";
import { float16Weights, openModel, weightNorms } from "@gradpool/model-source";
import { selectTargets, type BasePrecision } from "@gradpool/models";
import { AdamW } from "@gradpool/optim";
import { TrainingSession } from "@gradpool/runtime";

export interface StepOptions {
  threads: number;
  /** Probability of LoRA's dropout. */
  dropout?: number;
  modelDropout?: boolean;
  gradientCheckpointing?: boolean;
  dora?: boolean;
  /** Keep the base's weights as halves. */
  float16?: boolean;
  basePrecision?: BasePrecision;
  profilePrefix?: string;
}

export interface Step extends AsyncDisposable {
  /** Makes the step of that number, from 1; returns its loss in nats per target. */
  run(step: number): Promise<number>;
  targetTokens: number;
  /** Seconds to make its session. */
  loadSeconds: number;
  /**
   * Floating-point operations of its products with the base's weights and a tied head, forward and backward; not attention's and
   * the adapter's.
   */
  flops: number;
}

const [ROWS, ROW_LENGTH, RANK] = [8, 129, 8];
const TARGETS: Readonly<Record<string, string[]>> = {
  gpt2: ["c_attn", "c_proj"],
  llama: ["q_proj", "k_proj", "v_proj", "o_proj"],
};

export async function openStep(folder: string, options: StepOptions): Promise<Step> {
  const { dropout = 0, dora = false, float16: keepHalves = false, ...session } = options;
  const opened = await openModel(folder);
  const source = keepHalves ? await float16Weights(opened, join(tmpdir(), "gradpool-bench-float16")) : opened;
  const { modelType, modules, vocabSize, parametersPerToken: width } = source.model.description;
  const selected = selectTargets(source.model.description, TARGETS[modelType] ?? ["all-linear"]);
  const targets = adaptedModules(selected, { rankPattern: {}, useDora: dora });
  const begin = performance.now();
  const training = await TrainingSession.create(
    { source, targets, padRow: false, keepHalves },
    { ...session, dropout: dropout > 0 },
  );
  const loadSeconds = (performance.now() - begin) / 1000;
  const tensors = initAdapter(targets, RANK, 0, dora ? await weightNorms(source, targets) : undefined);
  const optimizer = new AdamW(tensors, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
  const ids = Int32Array.from(
    { length: ROWS * ROW_LENGTH },
    (_, i) => (Math.imul(i + 1, 2654435761) >>> 17) % vocabSize,
  );
  const batch = { rows: ROWS, rowLength: ROW_LENGTH, ids, lengths: Array.from({ length: ROWS }, () => ROW_LENGTH) };
  const targetTokens = ROWS * (ROW_LENGTH - 1);
  const weights = modules.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0);
  return {
    async run(step) {
      const key = { probability: dropout, seed: 0, step, microBatch: 0 };
      const { lossSum, gradients } = await training.run(batch, { tensors, scaling: 4 }, key);
      for (const { data } of gradients.values()) for (let i = 0; i < data.length; i++) data[i]! /= targetTokens;
      optimizer.step(gradients, 5e-5);
      return lossSum / targetTokens;
    },
    targetTokens,
    loadSeconds,
    flops: 4 * targetTokens * (weights + vocabSize * width),
    [Symbol.asyncDispose]: () => training[Symbol.asyncDispose](),
  };
}

/** In seconds. */
export interface Costs {
  wall: number;
  /** Processor time of the process, which says more on a busy machine. */
  cpu: number;
}

export async function measured(work: () => Promise<unknown>): Promise<Costs> {
  const [begin, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - begin) / 1000, cpu: (user + system) / 1e6 };
}

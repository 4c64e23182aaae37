/**
 * One trainer's work: forward and backward of GPT-2 small shapes, LoRA r=8 on c_attn and c_proj, plus
 * AdamW, on micro-batches of 8 × 128 tokens. Prints one JSON line. peft.py does the same with PEFT.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { adaptedModules, initAdapter } from "@gradpool/adapter";
import { float16Weights, openModel, weightNorms } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { AdamW } from "@gradpool/optim";
import { TrainingSession } from "@gradpool/runtime";
import { gpt2SmallFolder, gpt2SmallWithDropout } from "./gpt2-small.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    steps: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    dropout: { type: "string", default: "0" },
    "model-dropout": { type: "boolean", default: false },
    "gradient-checkpointing": { type: "boolean", default: false },
    dora: { type: "boolean", default: false },
    dtype: { type: "string", default: "float32" },
  },
});
const [steps, threads, dropout] = [Number(values.steps), Number(values.threads), Number(values.dropout)];
const [rows, rowLength, r] = [8, 129, 8];

const started = performance.now();
const { "model-dropout": modelDropout, "gradient-checkpointing": gradientCheckpointing } = values;
const opened = await openModel(values.model ?? (await (modelDropout ? gpt2SmallWithDropout() : gpt2SmallFolder())));
const keepHalves = values.dtype === "float16";
const source = keepHalves ? await float16Weights(opened, join(tmpdir(), "gradpool-bench-float16")) : opened;
const selected = selectTargets(source.model.description, ["c_attn", "c_proj"]);
const targets = adaptedModules(selected, { rankPattern: {}, useDora: values.dora });
const base = { source, targets, padRow: false, keepHalves };
const loading = performance.now();
await using session = await TrainingSession.create(base, {
  threads,
  dropout: dropout > 0,
  modelDropout,
  gradientCheckpointing,
});
const loadSeconds = (performance.now() - loading) / 1000;

const tensors = initAdapter(targets, r, 0, values.dora ? await weightNorms(source, targets) : undefined);
const optimizer = new AdamW(tensors, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
const { vocabSize } = source.model.description;
const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => Math.imul(i + 1, 2654435761) >>> 17).map(
  (id) => id % vocabSize,
);
const lengths = Array.from({ length: rows }, () => rowLength);
const targetTokens = rows * (rowLength - 1);

const seconds: number[] = [];
const cpuSeconds: number[] = [];
let firstLoss = NaN;
for (let step = 1; step <= steps; step++) {
  const begin = performance.now();
  const cpuBefore = process.cpuUsage();
  const key = { probability: dropout, seed: 0, step, microBatch: 0 };
  const { lossSum, gradients } = await session.run({ rows, rowLength, ids, lengths }, { tensors, scaling: 4 }, key);
  for (const { data } of gradients.values()) for (let i = 0; i < data.length; i++) data[i]! /= targetTokens;
  optimizer.step(gradients, 5e-5);
  seconds.push((performance.now() - begin) / 1000);
  const { user, system } = process.cpuUsage(cpuBefore);
  cpuSeconds.push((user + system) / 1e6);
  if (step === 1) firstLoss = lossSum / targetTokens;
}
const steady = seconds.slice(1).sort((a, b) => a - b);
const result = {
  best_step_seconds: steady[0],
  // The steadier figure on a busy machine.
  cpu_seconds_per_step: cpuSeconds.slice(1).sort((a, b) => a - b)[(steps - 1) >> 1],
  tokens_per_second: targetTokens / (steady[steady.length >> 1] ?? NaN),
  load_seconds: loadSeconds,
  first_step_seconds: seconds[0],
  seconds_to_first_step_done: loadSeconds + (seconds[0] ?? 0),
  peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
  loss_first: firstLoss,
  whole_seconds: (performance.now() - started) / 1000,
};
console.log(JSON.stringify(result));

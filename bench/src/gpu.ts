/**
 * One trainer's work on a device: GPT-2 small and SmolLM2-135M shapes, LoRA r=8, micro-batches of 8 × 128
 * tokens, float32. Speed and memory; the losses against the CPU's over 20 steps; the same bits
 * twice; and, from ONNX Runtime's profile, that every node ran on the device and nothing was copied inside
 * a step. Prints a JSON line for each model; exit code 1 if one of the last two fails. --device cpu tests the benchmark itself without a GPU.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { initAdapter } from "@gradpool/adapter";
import { openModel } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { AdamW } from "@gradpool/optim";
import {
  chooseGpu,
  parseDevice,
  profiledNodes,
  TrainingSession,
  type Base,
  type SessionOptions,
} from "@gradpool/runtime";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { median } from "./rounds.js";
import { smolLm2Folder } from "./smollm2-135m.js";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cuda:0" },
    /** Folders instead of the two models. */
    model: { type: "string", multiple: true },
    steps: { type: "string", default: "20" },
  },
});
const [rows, rowLength, r] = [8, 129, 8];
const targetTokens = rows * (rowLength - 1);
const device = parseDevice(values.device);
if (!device || device.kind === "auto") throw new Error("--device must be cpu, cuda:i, webgpu or webgpu:NAME");
const chosen = await chooseGpu(device, process.env);
Object.assign(process.env, chosen?.environment);
const onDevice: SessionOptions = { threads: availableParallelism(), gpu: chosen?.gpu };
const ownProvider = { cpu: "CPUExecutionProvider", cuda: "CUDAExecutionProvider", webgpu: "WebGpuExecutionProvider" }[
  device.kind
];
const onProcessor: SessionOptions = { threads: availableParallelism() };

interface Training {
  losses: number[];
  /** Time of each step, from forward pass to optimizer. */
  seconds: number[];
  loadSeconds: number;
  /** SHA-256 of the adapter after the last step. */
  adapterHash: string;
  /** Used on the whole device, after the last step. */
  deviceBytes: number;
}

/** Steps of one micro-batch each, with different tokens, on their own session. */
async function train(base: Base, options: SessionOptions, steps: number): Promise<Training> {
  const loading = performance.now();
  await using session = await TrainingSession.create(base, { ...options, dropout: false });
  const loadSeconds = (performance.now() - loading) / 1000;
  const tensors = initAdapter(base.targets, r, 0);
  const optimizer = new AdamW(tensors, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
  const { vocabSize } = base.source.model.description;
  const lengths = Array.from({ length: rows }, () => rowLength);
  const losses: number[] = [];
  const seconds: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const idOf = (_: unknown, i: number) => (Math.imul(step * 7919 + i, 2654435761) >>> 17) % vocabSize;
    const ids = Int32Array.from({ length: rows * rowLength }, idOf);
    const begin = performance.now();
    const { lossSum, gradients } = await session.run({ rows, rowLength, ids, lengths }, { tensors, scaling: 4 });
    for (const { data } of gradients.values()) for (let i = 0; i < data.length; i++) data[i]! /= targetTokens;
    optimizer.step(gradients, 1e-3);
    seconds.push((performance.now() - begin) / 1000);
    losses.push(lossSum / targetTokens);
  }
  const hash = createHash("sha256");
  for (const { data } of tensors.values()) hash.update(data);
  return { losses, seconds, loadSeconds, adapterHash: hash.digest("hex"), deviceBytes: await deviceMemory() };
}

/** Memory of the NVIDIA device in use, by any process; 0 on the CPU, and on WebGPU where there is no nvidia-smi. */
async function deviceMemory(): Promise<number> {
  if (!chosen) return 0;
  const index = chosen.gpu.provider === "cuda" ? chosen.gpu.index : 0;
  const query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", `--id=${index}`];
  const { stdout } = await promisify(execFile)("nvidia-smi", query).catch((error: unknown) => {
    if (chosen.webgpu) return { stdout: "0" };
    throw error;
  });
  return Number(stdout) * 2 ** 20;
}

async function profileOf(base: Base) {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-profile-"));
  try {
    await train(base, { ...onDevice, profilePrefix: join(folder, "profile") }, 2);
    return await profiledNodes(join(folder, "profile"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first two prepare shaders or memory; of at most two steps, the last. */
const laterThanTwo = (seconds: readonly number[]) => seconds.slice(Math.min(2, seconds.length - 1));

async function measure(dir: string) {
  const source = await openModel(dir);
  const isGpt2 = source.model.description.modelType === "gpt2";
  const names = isGpt2 ? ["c_attn", "c_proj"] : ["q_proj", "k_proj", "v_proj", "o_proj"];
  const base = { source, targets: selectTargets(source.model.description, names), padRow: false };
  const steps = Number(values.steps);
  const idleBytes = await deviceMemory();
  const first = await train(base, onDevice, steps);
  const again = await train(base, onDevice, steps);
  const reference = await train(base, onProcessor, steps);
  const errors = first.losses.map((loss, i) => Math.abs(loss / (reference.losses[i] ?? NaN) - 1));
  return {
    model: dir,
    device: values.device,
    tokens_per_second: targetTokens / median(laterThanTwo(again.seconds)),
    processor_tokens_per_second: targetTokens / median(laterThanTwo(reference.seconds)),
    load_seconds: first.loadSeconds,
    first_step_seconds: first.seconds[0],
    device_bytes: first.deviceBytes - idleBytes,
    resident_bytes: process.resourceUsage().maxRSS * 1024,
    largest_loss_error: Math.max(...errors),
    loss_errors: errors,
    same_bits_twice: first.adapterHash === again.adapterHash,
    nodes: await profileOf(base),
  };
}

if (chosen?.cuda) {
  const { name, driverVersion, cublasVersion } = chosen.cuda;
  console.error(`${chosen.device}: ${name}, driver ${driverVersion}, cuBLAS ${cublasVersion}`);
} else if (chosen) {
  const { name, backend, driver } = chosen.webgpu;
  console.error(`${chosen.device}: ${name}, ${backend}, driver ${driver}`);
}
for (const dir of values.model ?? [await gpt2SmallFolder(), await smolLm2Folder()]) {
  const figures = await measure(dir);
  console.log(JSON.stringify(figures));
  const { same_bits_twice: isReproducible, nodes } = figures;
  const elsewhere = Object.keys(nodes.byProvider).filter((provider) => provider !== ownProvider);
  const problems = [
    ...(isReproducible ? [] : ["two runs differ in their bits"]),
    ...(elsewhere.length > 0 ? [`nodes ran on ${elsewhere.join(", ")}`] : []),
    ...(nodes.copies > 0 ? [`${nodes.copies} copies between devices inside the steps`] : []),
  ];
  for (const problem of problems) console.error(`${dir}: ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
}

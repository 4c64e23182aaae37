/**
 * A step with the base's products in float32, int8-backward and int8, in turn within one process: GPT-2 small's shapes, or the
 * model that is given, LoRA r=8, 8 × 128 tokens. Prints each round, and at the end ratios to float32 as a JSON line.
 * Processor time is the steadier figure on a busy machine.
 */
import { parseArgs } from "node:util";
import { initAdapter } from "@gradpool/adapter";
import { openModel } from "@gradpool/model-source";
import { BASE_PRECISIONS, namedTargets, selectTargets, type BasePrecision } from "@gradpool/models";
import { TrainingSession } from "@gradpool/runtime";
import { gpt2SmallFolder } from "./gpt2-small.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    checkpointing: { type: "boolean", default: false },
  },
});
const [rows, rowLength, r] = [8, 129, 8];

const source = await openModel(values.model ?? (await gpt2SmallFolder()));
const { description } = source.model;
const targets = selectTargets(description, namedTargets(description, ["auto"]));
const tensors = initAdapter(targets, r, 0);
const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => Math.imul(i + 1, 2654435761) >>> 17).map(
  (id) => id % description.vocabSize,
);
const batch = { rows, rowLength, ids, lengths: Array.from({ length: rows }, () => rowLength) };

interface Figures {
  seconds: number;
  cpuSeconds: number;
}

async function measured(work: () => Promise<unknown>): Promise<Figures> {
  const [begin, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - begin) / 1000, cpuSeconds: (user + system) / 1e6 };
}

const sessions = new Map<BasePrecision, TrainingSession>();
for (const basePrecision of BASE_PRECISIONS) {
  const options = { threads: Number(values.threads), dropout: false, gradientCheckpointing: values.checkpointing };
  const { cpuSeconds } = await measured(async () => {
    const base = { source, targets, padRow: false };
    sessions.set(basePrecision, await TrainingSession.create(base, { ...options, basePrecision }));
  });
  console.log(`${basePrecision}: session made in ${cpuSeconds.toFixed(2)} s of processor time`);
}

const rounds: Record<BasePrecision, Figures>[] = [];
// The first round is not counted: memory grows.
for (let round = 0; round <= Number(values.rounds); round++) {
  const figures: Partial<Record<BasePrecision, Figures>> = {};
  for (const [precision, session] of sessions)
    figures[precision] = await measured(() => session.run(batch, { tensors, scaling: 4 }));
  if (round === 0) continue;
  rounds.push(figures as Record<BasePrecision, Figures>);
  const line = Object.entries(figures).map(
    ([precision, { seconds, cpuSeconds }]) =>
      `${precision} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processor time`,
  );
  console.log(`round ${round}: ${line.join("; ")}`);
}

const ratios = (precision: BasePrecision, of: keyof Figures) => {
  const sorted = rounds.map((round) => round[precision][of] / round.float32[of]).sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], least: sorted[0], most: sorted.at(-1) };
};
const result = Object.fromEntries(
  BASE_PRECISIONS.map((precision) => [
    precision,
    { time: ratios(precision, "seconds"), processorTime: ratios(precision, "cpuSeconds") },
  ]),
);
console.log(JSON.stringify({ model: description.modelType, threads: Number(values.threads), ...result }));
for (const session of sessions.values()) await session[Symbol.asyncDispose]();

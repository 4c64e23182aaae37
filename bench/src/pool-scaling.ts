/**
 * Two trainers of one thread through the coordinator against one: tokens per second of whole steps
 * (4 micro-batches of 8 × 128 tokens, GPT-2 small shapes), in turn. The first step, which loads the
 * model, does not count. Also prints the coordinator's own CPU time per step.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Stack } from "@gradpool/integration-tests";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import type { LoraRecipe } from "@gradpool/rpc";
import { gpt2SmallFolder } from "./gpt2-small.js";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "2" }, steps: { type: "string", default: "4" } },
});
const steps = Number(values.steps);
const modelId = await gpt2SmallFolder();
const dir = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
const [batchSize, gradientAccumulation] = [8, 4];
const row = Array.from({ length: 300 }, (_, i) => `word${i}`).join(" ");
const rows = Array.from(
  { length: steps * batchSize * gradientAccumulation },
  (_, i) => `${JSON.stringify({ content: `${i} ${row}` })}\n`,
);
const dataset = join(dir, "rows.jsonl");
await writeFile(dataset, rows.join(""));

/** CPU time per step, of each run. */
const coordinatorSeconds: number[] = [];

async function tokensPerSecond(trainers: number): Promise<number> {
  await using stack = await Stack.start({ trainers });
  const base = defaultRecipe();
  const lora = { ...(base.lora as LoraRecipe), dropout: 0 };
  const recipe = { ...base, epochs: 1, batchSize, gradientAccumulation, maxLength: 129, lora };
  let begun = 0;
  const finished = await stack.train(
    { modelId, dataset: [dataset], outputDir: join(dir, `out-${trainers}`), ...NEW_START, recipe },
    ({ step }) => {
      if (step === 1) begun = stack.coordinatorCpuSeconds();
      if (step === steps) coordinatorSeconds.push((stack.coordinatorCpuSeconds() - begun) / (steps - 1));
    },
  );
  const steady = finished.steps.slice(1);
  return steady.reduce((sum, { tokens }) => sum + tokens, 0) / steady.reduce((sum, { seconds }) => sum + seconds, 0);
}

try {
  const ratios: number[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const one = await tokensPerSecond(1);
    const two = await tokensPerSecond(2);
    ratios.push(two / one);
    console.log(`${round}  one trainer ${one.toFixed(0)} tokens/s, two ${two.toFixed(0)}: ${(two / one).toFixed(2)} ×`);
  }
  const median = coordinatorSeconds.sort((a, b) => a - b)[coordinatorSeconds.length >> 1] ?? NaN;
  console.log(`coordinator: ${(1000 * median).toFixed(0)} ms of CPU time per step`);
  console.log(`two trainers: ${(ratios.sort((a, b) => a - b)[ratios.length >> 1] ?? NaN).toFixed(2)} × one`);
} finally {
  await rm(dir, { recursive: true, force: true });
}

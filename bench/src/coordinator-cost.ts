/**
 * The coordinator's processor time for a step of four micro-batches of 8 × 128 tokens, GPT-2 small shapes: its trainer answers at once,
 * so that nothing else takes time. The first steps, in which its code is compiled, do not count.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack, STACK_KEY } from "@gradpool/integration-tests";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import type { LoraRecipe } from "@gradpool/rpc";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { StandInTrainer } from "./stand-in-trainer.js";

const [steps, warmUpSteps] = [34, 10];
const dir = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
try {
  const row = Array.from({ length: 300 }, (_, i) => `word${i}`).join(" ");
  const dataset = join(dir, "rows.jsonl");
  await writeFile(
    dataset,
    Array.from({ length: steps * 32 }, (_, i) => `${JSON.stringify({ content: `${i} ${row}` })}\n`).join(""),
  );
  await using stack = await Stack.start({ trainers: 0 });
  await using _trainer = new StandInTrainer(stack.address, STACK_KEY);
  const base = defaultRecipe();
  const lora = { ...(base.lora as LoraRecipe), dropout: 0 };
  const recipe = { ...base, epochs: 1, batchSize: 8, gradientAccumulation: 4, maxLength: 129, lora };
  let begun = 0;
  let ended = 0;
  await stack.train(
    { modelId: await gpt2SmallFolder(), dataset: [dataset], outputDir: join(dir, "out"), ...NEW_START, recipe },
    ({ step }) => {
      if (step === warmUpSteps) begun = stack.coordinatorCpuSeconds();
      if (step === steps) ended = stack.coordinatorCpuSeconds();
    },
  );
  console.log(
    `coordinator ${((1000 * (ended - begun)) / (steps - warmUpSteps)).toFixed(1)} ms of processor time a step`,
  );
} finally {
  await rm(dir, { recursive: true, force: true });
}

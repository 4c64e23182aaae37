/** The pool: two trainers of one thread against one, and what the coordinator takes for a step. Four micro-batches of 8 × 128 tokens. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Stack, STACK_KEY } from "@gradpool/integration-tests";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import type { LoraRecipe, StepMetrics } from "@gradpool/rpc";
import { gpt2SmallFolder } from "../../gpt2-small.js";
import { inTurn, ratiosOf, spreadOf } from "../../rounds.js";
import { StandInTrainer } from "../../stand-in-trainer.js";
import { shown, type Group } from "../row.js";

const [BATCH_SIZE, ACCUMULATION, MAX_LENGTH] = [8, 4, 129];
/** Of a run whose trainer answers at once: all steps, and those after which the coordinator's code is compiled. */
const [QUICK_STEPS, WARM_UP_STEPS] = [34, 10];

async function train(stack: Stack, folder: string, steps: number, onStep?: (step: StepMetrics) => void) {
  const row = Array.from({ length: 300 }, (_, i) => `word${i}`).join(" ");
  const rows = Array.from(
    { length: steps * BATCH_SIZE * ACCUMULATION },
    (_, i) => `${JSON.stringify({ content: `${i} ${row}` })}\n`,
  );
  const dataset = join(folder, "pool.jsonl");
  await writeFile(dataset, rows.join(""));
  const base = defaultRecipe();
  const sizes = { epochs: 1, batchSize: BATCH_SIZE, gradientAccumulation: ACCUMULATION, maxLength: MAX_LENGTH };
  const recipe = { ...base, ...sizes, lora: { ...(base.lora as LoraRecipe), dropout: 0 } };
  const outputDir = join(folder, `pool-${performance.now()}`);
  const modelId = await gpt2SmallFolder();
  return stack.train({ modelId, dataset: [dataset], outputDir, ...NEW_START, recipe }, onStep);
}

/** Of the steps after the first, which loads the model. */
async function tokensPerSecond(trainers: number, folder: string, steps: number): Promise<number> {
  await using stack = await Stack.start({ trainers });
  const finished = await train(stack, folder, steps);
  const sum = (key: "tokens" | "seconds") => finished.steps.slice(1).reduce((total, step) => total + step[key], 0);
  return sum("tokens") / sum("seconds");
}

export const TRAINERS: Group = {
  name: "trainers",
  minutes: { full: 5, short: 1 },
  async measure(context) {
    const { folder, rounds, short } = context;
    const steps = short ? 2 : 4;
    const contenders = {
      one: () => tokensPerSecond(1, folder, steps),
      two: () => tokensPerSecond(2, folder, steps),
    };
    const { one = [], two = [] } = await inTurn(rounds, shown(context, "trainers of one thread", contenders));
    const perfect = one.map((rate) => 2 * rate);
    const what = "two trainers of one thread; the limit is twice one, GPT-2 small";
    return [{ what, unit: "tokens/s", value: spreadOf(two), ratios: { limit: spreadOf(ratiosOf(two, perfect)) } }];
  },
};

/** Processor time of the coordinator for a step, when nothing else takes time. */
async function coordinatorMs(folder: string): Promise<number> {
  await using stack = await Stack.start({ trainers: 0 });
  await using _trainer = new StandInTrainer(stack.address, STACK_KEY);
  let [begun, ended] = [0, 0];
  await train(stack, folder, QUICK_STEPS, ({ step }) => {
    if (step === WARM_UP_STEPS) begun = stack.coordinatorCpuSeconds();
    if (step === QUICK_STEPS) ended = stack.coordinatorCpuSeconds();
  });
  return (1000 * (ended - begun)) / (QUICK_STEPS - WARM_UP_STEPS);
}

export const COORDINATOR: Group = {
  name: "coordinator",
  minutes: { full: 1.5, short: 0.5 },
  async measure(context) {
    const contenders = { measured: () => coordinatorMs(context.folder) };
    const { measured = [] } = await inTurn(context.rounds, shown(context, "the coordinator alone", contenders));
    const what = "coordinator's processor time, a step of four micro-batches, GPT-2 small";
    return [{ what, unit: "ms", value: spreadOf(measured), ratios: {} }];
  },
};

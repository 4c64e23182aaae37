/** The same short runs in turn on several pools: what a step costs there, and its ratio to one of them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tinyRun, type Stack } from "@gradpool/integration-tests";
import { inTurn, quantile, ratiosOf, spreadOf, spreadText } from "./rounds.js";
import type { Costs } from "./step.js";

/** Rows of a data set for these runs, in a file in `dir`. */
export async function shortRows(dir: string): Promise<string> {
  const dataset = join(dir, "rows.jsonl");
  const rows = Array.from({ length: 120 }, (_, i) =>
    JSON.stringify({ content: `def f${i}(x):\n    return x * ${i}\n` }),
  );
  await writeFile(dataset, `${rows.join("\n")}\n`);
  return dataset;
}

/** Prints a line for each pool; `base`: the one to compare with. Runs write into `dir`. */
export async function compareSteps(
  pools: Readonly<Record<string, Stack>>,
  base: string,
  { dir, dataset, rounds }: { dir: string; dataset: string; rounds: number },
): Promise<void> {
  const contenders = Object.entries(pools).map(([name, stack]): [string, (round: number) => Promise<Costs>] => [
    name,
    (round) => measure(stack, dataset, join(dir, `${name}-${round}`)),
  ]);
  const all = await inTurn(rounds + 1, Object.fromEntries(contenders));
  // The first round only warms up.
  const figures = (name: string, key: keyof Costs) => (all[name] ?? []).slice(1).map((costs) => costs[key]);
  for (const name of Object.keys(pools)) {
    const [wall, cpu] = [milliseconds(figures(name, "wall")), milliseconds(figures(name, "cpu"))];
    console.log(`${name}: a step takes ${wall} ms, ${cpu} ms of the coordinator's CPU time;`);
    const ratios = ratiosOf(figures(name, "wall"), figures(base, "wall"));
    console.log(`  ratio to ${base}, ${ratios.length} rounds: ${spreadText(spreadOf(ratios), 3)}`);
  }
}

/**
 * Of a run: the median of its steps, the first of which load the model, and the coordinator's CPU time per step, which
 * says more on a busy machine.
 */
async function measure(stack: Stack, dataset: string, outputDir: string): Promise<Costs> {
  const before = stack.coordinatorCpuSeconds();
  const { steps } = await stack.train(tinyRun(dataset, outputDir, { gradientAccumulation: 1 }));
  const cpu = (stack.coordinatorCpuSeconds() - before) / steps.length;
  const seconds = steps.slice(5).map((step) => step.seconds);
  return { wall: quantile(seconds, 0.5), cpu };
}

const milliseconds = (seconds: readonly number[]) => (1_000 * quantile(seconds, 0.5)).toFixed(1);

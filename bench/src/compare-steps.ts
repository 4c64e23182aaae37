/** The same short runs in turn on several pools: what a step costs there, and its ratio to one of them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tinyRun, type Stack } from "@gradpool/integration-tests";

/** Rows of a data set for these runs, in a file in `dir`. */
export async function shortRows(dir: string): Promise<string> {
  const dataset = join(dir, "rows.jsonl");
  const rows = Array.from({ length: 120 }, (_, i) =>
    JSON.stringify({ content: `def f${i}(x):\n    return x * ${i}\n` }),
  );
  await writeFile(dataset, `${rows.join("\n")}\n`);
  return dataset;
}

/** The number below which that share of them is. */
export function quantile(numbers: readonly number[], share: number): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(share * (numbers.length - 1))] ?? NaN;
}

/** Prints a line for each pool; `base`: the one to compare with. Runs write into `dir`. */
export async function compareSteps(
  pools: Readonly<Record<string, Stack>>,
  base: string,
  { dir, dataset, rounds }: { dir: string; dataset: string; rounds: number },
): Promise<void> {
  const measured = new Map<string, Costs[]>();
  for (let round = 0; round <= rounds; round++) {
    for (const [name, stack] of Object.entries(pools)) {
      const costs = await measure(stack, dataset, join(dir, `${name}-${round}`));
      // The first round only warms up.
      if (round > 0) measured.set(name, [...(measured.get(name) ?? []), costs]);
    }
  }
  const bases = measured.get(base) ?? [];
  for (const [name, costs] of measured) {
    const ratios = costs.map(({ wall }, i) => wall / (bases[i]?.wall ?? NaN));
    const [wall, cpu] = [costs.map((cost) => cost.wall), costs.map((cost) => cost.cpu)].map(milliseconds);
    console.log(`${name}: a step takes ${wall} ms, ${cpu} ms of the coordinator's CPU time;`);
    const [least, middle, most] = [0, 0.5, 1].map((share) => quantile(ratios, share).toFixed(3));
    console.log(`  ratio to ${base}, ${ratios.length} rounds: ${middle} (${least} to ${most})`);
  }
}

/** In seconds. */
interface Costs {
  wall: number;
  cpu: number;
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

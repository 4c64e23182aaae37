import { GradpoolError } from "@gradpool/errors";

/**
 * Learning rate of optimizer step `step`, counted from 0, as transformers' constant_with_warmup,
 * linear and cosine schedules have it (transformers/optimization.py): linear from 0 over
 * `warmupSteps`, then constant, linear to 0 at `totalSteps`, or half a cosine to 0.
 * Errors: `invalid_argument` for another scheduler.
 */
export function learningRate(
  scheduler: string,
  step: number,
  { base, warmupSteps, totalSteps }: { base: number; warmupSteps: number; totalSteps: number },
): number {
  const factor = factorOf(scheduler);
  if (step < warmupSteps) return base * (step / Math.max(1, warmupSteps));
  return base * factor(step, warmupSteps, totalSteps);
}

type Factor = (step: number, warmupSteps: number, totalSteps: number) => number;

const FACTORS: ReadonlyMap<string, Factor> = new Map<string, Factor>([
  ["constant", () => 1],
  [
    "linear",
    (step, warmupSteps, totalSteps) => Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps)),
  ],
  [
    "cosine",
    (step, warmupSteps, totalSteps) => {
      const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    },
  ],
]);

function factorOf(scheduler: string): Factor {
  const factor = FACTORS.get(scheduler);
  if (factor) return factor;
  const message = `there is no lr_scheduler ${JSON.stringify(scheduler)}; choose ${[...FACTORS.keys()].join(", ")}`;
  throw new GradpoolError("invalid_argument", message);
}

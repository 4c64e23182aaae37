/** Learning rates as transformers' get_scheduler has them (transformers/optimization.py), to the last bit. */
import { GradpoolError } from "@gradpool/errors";
import { cos, pow } from "./exact-math.js";

export interface Schedule {
  /** Peak learning rate. */
  base: number;
  warmupSteps: number;
  totalSteps: number;
  /** Of cosine_with_restarts: how often it begins at the peak. */
  numCycles: number;
  /** Of polynomial: its exponent, and the rate that it ends at. */
  power: number;
  lrEnd: number;
}

/**
 * Learning rate of optimizer step `step`, counted from 0 and below `totalSteps`: linear from 0 over `warmupSteps`,
 * then as the scheduler's name says. "constant" warms up, too, if there are steps for it, where transformers wants
 * its other name. Errors: `invalid_argument` for another scheduler.
 */
export function learningRate(scheduler: string, step: number, schedule: Schedule): number {
  const factor = factorOf(scheduler);
  const { base, warmupSteps } = schedule;
  if (step < warmupSteps) return base * (step / Math.max(1, warmupSteps));
  return base * factor(step, schedule);
}

/** Steps of warm-up: as given, else the ratio's share of all steps, rounded up (TrainingArguments.get_warmup_steps). */
export function warmupStepsOf(
  { warmupSteps, warmupRatio }: { warmupSteps: number; warmupRatio: number },
  totalSteps: number,
): number {
  return warmupSteps > 0 ? warmupSteps : Math.ceil(totalSteps * warmupRatio);
}

/** Share of the peak, after the warm-up. */
type Factor = (step: number, schedule: Schedule) => number;

const constant: Factor = () => 1;

/** Progress from the end of the warm-up to the last step, from 0 to 1. */
const progressAt: Factor = (step, { warmupSteps, totalSteps }) =>
  (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);

const FACTORS: ReadonlyMap<string, Factor> = new Map<string, Factor>([
  ["constant", constant],
  ["constant_with_warmup", constant],
  [
    "linear",
    (step, { warmupSteps, totalSteps }) => Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps)),
  ],
  ["cosine", (step, schedule) => Math.max(0, 0.5 * (1 + cos(Math.PI * progressAt(step, schedule))))],
  [
    "cosine_with_restarts",
    (step, schedule) => {
      const progress = progressAt(step, schedule);
      if (progress >= 1) return 0;
      return Math.max(0, 0.5 * (1 + cos(Math.PI * ((schedule.numCycles * progress) % 1))));
    },
  ],
  [
    "polynomial",
    (step, { base, warmupSteps, totalSteps, power, lrEnd }) => {
      const remaining = 1 - (step - warmupSteps) / (totalSteps - warmupSteps);
      return ((base - lrEnd) * pow(remaining, power) + lrEnd) / base;
    },
  ],
  [
    "inverse_sqrt",
    (step, { warmupSteps }) => {
      const timescale = warmupSteps || INVERSE_SQRT_TIMESCALE;
      return 1 / Math.sqrt((step + timescale - warmupSteps) / timescale);
    },
  ],
]);

/** transformers' default without warm-up. */
const INVERSE_SQRT_TIMESCALE = 10_000;

function factorOf(scheduler: string): Factor {
  const factor = FACTORS.get(scheduler);
  if (factor) return factor;
  const message = `there is no lr_scheduler ${JSON.stringify(scheduler)}; choose ${[...FACTORS.keys()].join(", ")}`;
  throw new GradpoolError("invalid_argument", message);
}

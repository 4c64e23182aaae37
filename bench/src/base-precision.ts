/**
 * A step with the base's products in float32, int8-backward and int8, in turn within one process: GPT-2 small's shapes, or the
 * model that is given. Prints each round, and at the end ratios to float32 as a JSON line. Processor time is the steadier figure on a
 * busy machine.
 */
import { parseArgs } from "node:util";
import { BASE_PRECISIONS, type BasePrecision } from "@gradpool/models";
import { gpt2SmallFolder } from "./gpt2-small.js";
import { inTurn, ratiosOf, spreadOf } from "./rounds.js";
import { measured, openStep, type Costs, type Step } from "./step.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    checkpointing: { type: "boolean", default: false },
  },
});
const threads = Number(values.threads);
const folder = values.model ?? (await gpt2SmallFolder());

const steps = new Map<BasePrecision, Step>();
for (const basePrecision of BASE_PRECISIONS) {
  const options = { threads, gradientCheckpointing: values.checkpointing, basePrecision };
  const { cpu } = await measured(async () => steps.set(basePrecision, await openStep(folder, options)));
  console.log(`${basePrecision}: session made in ${cpu.toFixed(2)} s of processor time`);
}

const stepOf = (step: Step, precision: BasePrecision) => async (round: number) => {
  const costs = await measured(() => step.run(round));
  console.log(`round ${round}: ${precision} ${costs.wall.toFixed(2)} s, ${costs.cpu.toFixed(2)} s of processor time`);
  return costs;
};
const contenders = Object.fromEntries([...steps].map(([precision, step]) => [precision, stepOf(step, precision)]));
const all = await inTurn(Number(values.rounds) + 1, contenders as Record<BasePrecision, ReturnType<typeof stepOf>>);

/** The first round is not counted: memory grows. */
const figures = (precision: BasePrecision, of: keyof Costs) => all[precision].slice(1).map((costs) => costs[of]);
const ratio = (precision: BasePrecision, of: keyof Costs) =>
  spreadOf(ratiosOf(figures(precision, of), figures("float32", of)));
const result = Object.fromEntries(
  BASE_PRECISIONS.map((name) => [name, { time: ratio(name, "wall"), processorTime: ratio(name, "cpu") }]),
);
console.log(JSON.stringify({ model: folder, threads, ...result }));
for (const step of steps.values()) await step[Symbol.asyncDispose]();

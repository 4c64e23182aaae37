/** What gradient checkpointing, DoRA, dropouts and half weights cost: one trainer's step with and without them, in turn. */
import { parseArgs } from "node:util";
import { benchProgram, runForJson } from "./child.js";
import { inTurn, median, ratiosOf, spreadOf, spreadText } from "./rounds.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "6" },
    // Only variants whose name contains this; empty: all.
    only: { type: "string", default: "" },
  },
});
const VARIANTS: Record<string, string[]> = {
  plain: [],
  "LoRA's dropout": ["--dropout", "0.05"],
  "gradient checkpointing": ["--gradient-checkpointing"],
  "float16 weights": ["--dtype", "float16"],
  "float16 weights, gradient checkpointing": ["--dtype", "float16", "--gradient-checkpointing"],
  DoRA: ["--dora"],
  "DoRA, LoRA's dropout": ["--dora", "--dropout", "0.05"],
  "model dropout": ["--model-dropout"],
  "all dropouts": ["--model-dropout", "--dropout", "0.05"],
  "all dropouts, gradient checkpointing": ["--model-dropout", "--dropout", "0.05", "--gradient-checkpointing"],
};

interface Figures {
  best_step_seconds: number;
  cpu_seconds_per_step: number;
  peak_rss_bytes: number;
  loss_first: number;
}

const chosen = Object.entries(VARIANTS).filter(([name]) => name.includes(values.only) || name === "plain");
const script = benchProgram("training-step.js");
const contenders = chosen.map(([name, flags]): [string, () => Promise<Figures>] => [
  name,
  () => runForJson<Figures>(process.execPath, [script, "--steps", values.steps, ...flags]),
]);
const all = await inTurn(Number(values.rounds), Object.fromEntries(contenders));
const processorSeconds = (name: string) => (all[name] ?? []).map((figures) => figures.cpu_seconds_per_step);
for (const [name, rounds] of Object.entries(all)) {
  const figure = (key: keyof Figures) => median(rounds.map((figures) => figures[key]));
  const ratios = spreadOf(ratiosOf(processorSeconds(name), processorSeconds("plain")));
  console.log(
    `${name}: best step ${figure("best_step_seconds").toFixed(2)} s, ${figure("cpu_seconds_per_step").toFixed(2)} s of ` +
      `processor time a step, ${spreadText(ratios)} × plain, peak ${(figure("peak_rss_bytes") / 1e9).toFixed(2)} GB, ` +
      `loss ${figure("loss_first")}`,
  );
}

/** What gradient checkpointing, DoRA and the model's own dropouts cost: one trainer's step with and without them, in turn. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "6" },
    // Only variants whose name contains this; empty: all.
    only: { type: "string", default: "" },
  },
});
const script = fileURLToPath(new URL("./training-step.js", import.meta.url));

const VARIANTS: Record<string, string[]> = {
  plain: [],
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

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;

const chosen = Object.entries(VARIANTS).filter(([name]) => name.includes(values.only) || name === "plain");
const all = new Map<string, Figures[]>(chosen.map(([name]) => [name, []]));
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const [name, flags] of chosen) {
    const { stdout } = await run(process.execPath, [script, "--steps", values.steps, ...flags]);
    all.get(name)?.push(JSON.parse(stdout) as Figures);
  }
}
for (const [name, rounds] of all) {
  const figure = (key: keyof Figures) => median(rounds.map((figures) => figures[key]));
  console.log(
    `${name}: best step ${figure("best_step_seconds").toFixed(2)} s, ${figure("cpu_seconds_per_step").toFixed(2)} s of ` +
      `processor time a step, peak ${(figure("peak_rss_bytes") / 1e9).toFixed(2)} GB, loss ${figure("loss_first")}`,
  );
}

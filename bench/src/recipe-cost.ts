/** What gradient checkpointing and the model's own dropouts cost: one trainer's step with and without them, in turn. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const run = promisify(execFile);
const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, steps: { type: "string", default: "6" } },
});
const script = fileURLToPath(new URL("./training-step.js", import.meta.url));

const VARIANTS: Record<string, string[]> = {
  plain: [],
  "gradient checkpointing": ["--gradient-checkpointing"],
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

const all = new Map<string, Figures[]>(Object.keys(VARIANTS).map((name) => [name, []]));
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const [name, flags] of Object.entries(VARIANTS)) {
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

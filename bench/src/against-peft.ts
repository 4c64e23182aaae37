/**
 * Tokens per second and memory of one trainer against transformers + PEFT, float32, two threads, in
 * turn: ratios within one run are reliable on shared machines. PYTHON names an interpreter that has
 * torch, transformers and peft (default: python3).
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { gpt2SmallFolder } from "./gpt2-small.js";

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "6" },
    dropout: { type: "string", default: "0" },
  },
});

interface Figures {
  tokens_per_second: number;
  first_step_seconds: number;
  load_seconds: number;
  peak_rss_bytes: number;
}

const model = await gpt2SmallFolder();
const options = ["--model", model, "--steps", values.steps, "--threads", "2", "--dropout", values.dropout];
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const commands: Record<string, [string, string[]]> = {
  PEFT: [process.env["PYTHON"] ?? "python3", [path("../../peft.py"), ...options]],
  gradpool: [process.execPath, [path("./training-step.js"), ...options]],
};

const all: Record<string, Figures[]> = { PEFT: [], gradpool: [] };
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const [name, [command, args]] of Object.entries(commands)) {
    const { stdout } = await run(command, args, { maxBuffer: 1 << 24 });
    const figures = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Figures;
    all[name]?.push(figures);
    console.log(
      `${String(round).padStart(2)} ${name.padEnd(9)} ${figures.tokens_per_second.toFixed(0).padStart(5)} tokens/s  ` +
        `${(figures.peak_rss_bytes / 1e9).toFixed(2)} GB  loaded in ${figures.load_seconds.toFixed(1)} s, first step ${figures.first_step_seconds.toFixed(1)} s`,
    );
  }
}

const ratios = (figure: keyof Figures) =>
  (all["gradpool"] ?? []).map((ours, i) => ours[figure] / (all["PEFT"]?.[i]?.[figure] ?? NaN));
const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;
console.log(
  `speed   ${median(ratios("tokens_per_second")).toFixed(2)} × PEFT  (rounds: ${ratios("tokens_per_second")
    .map((x) => x.toFixed(2))
    .join(", ")})`,
);
console.log(`memory  ${median(ratios("peak_rss_bytes")).toFixed(2)} × PEFT`);

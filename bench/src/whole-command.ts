/**
 * `gradpool train` with its default recipe against the script that it replaces (bench/peft_run.py), from the command to the
 * result: SmolLM2-135M's shapes, q_proj and v_proj, one epoch of 160 rows, in turn. Prints seconds to the end of the first step,
 * and to the command's end. PYTHON names an interpreter that has torch, transformers and peft (default: python3).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { smolLm2Folder } from "./smollm2-135m.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "1" },
    rows: { type: "string", default: "160" },
    // Only commands whose name contains this; empty: all.
    only: { type: "string", default: "" },
  },
});
const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const model = await smolLm2Folder();
const dir = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
const dataset = join(dir, "rows.jsonl");
const row = (i: number) => `${i} ${Array.from({ length: 200 }, (_, k) => `word${(i * 7 + k * k) % 991}`).join(" ")}`;
await writeFile(
  dataset,
  Array.from({ length: Number(values.rows) }, (_, i) => `${JSON.stringify({ content: row(i) })}\n`).join(""),
);

const train = [
  "train",
  "--model_id",
  model,
  "--dataset",
  dataset,
  "--target_modules",
  "q_proj,v_proj",
  "--epochs",
  "1",
];
const ours = (...flags: string[]): [string, string[]] => [
  process.execPath,
  [path("services/cli/bin/gradpool.js"), ...train, "--device", "cpu", "--json", ...flags, "--output_dir"],
];
const theirs = (...flags: string[]): [string, string[]] => [
  process.env["PYTHON"] ?? "python3",
  [path("bench/peft_run.py"), "--model", model, "--dataset", dataset, ...flags, "--output"],
];
const COMMANDS: Record<string, [string, string[]]> = {
  "gradpool float32": ours(),
  "gradpool float32, --pass_tokens 0": ours("--pass_tokens", "0"),
  "gradpool float32, --pass_tokens 1024": ours("--pass_tokens", "1024"),
  "gradpool int8": ours("--base_precision", "int8"),
  "PEFT float32": theirs("--dtype", "float32"),
  "PEFT bfloat16": theirs("--dtype", "bfloat16"),
};

let runs = 0;

/** Seconds to the first step, and to the end. */
async function timed([command, args]: [string, string[]]): Promise<[number, number]> {
  const begin = performance.now();
  const child = spawn(command, [...args, join(dir, `out-${++runs}`)], {
    env: { ...process.env, GRADPOOL_HOME: join(dir, "home") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let first = NaN;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { event, step } = JSON.parse(line) as { event?: string; step?: number };
    if (event === "step" && step === 1) first = (performance.now() - begin) / 1000;
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return [first, (performance.now() - begin) / 1000];
}

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;

try {
  const chosen = Object.entries(COMMANDS).filter(([name]) => name.includes(values.only));
  const all = new Map<string, [number, number][]>(chosen.map(([name]) => [name, []]));
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const [name, command] of chosen) all.get(name)?.push(await timed(command));
  }
  for (const [name, rounds] of all) {
    const [first, whole] = [median(rounds.map(([seconds]) => seconds)), median(rounds.map(([, seconds]) => seconds))];
    console.log(`${name}: first step after ${first.toFixed(1)} s, result after ${whole.toFixed(1)} s`);
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}

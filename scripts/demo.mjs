/**
 * Fine-tunes models/tiny-coder, which knows only Python, on this project's own TypeScript, through all
 * services, and shows the effect on files that it has not seen.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUTPUT = "demo-output";
const MODEL = "models/tiny-coder";

/** Beginnings that occur only in TypeScript: the untrained model continues them in Python. */
const PROMPTS = ["export async function readFile(", "const names = new Map<", "if (error instanceof "];

const SAMPLING = ["--max_new_tokens", "24", "--temperature", "0.5", "--repetition_penalty", "1.15", "--seed", "1"];

/** About 170 steps, and a held-out loss within a few seconds. */
const TRAIN_BYTES = 450_000;
const HELD_OUT_BYTES = 60_000;
/** Larger files would make up most of either set. */
const MAX_FILE_BYTES = 20_000;

const RECIPE = {
  batch_size: 4,
  gradient_accumulation: 2,
  epochs: 1,
  learning_rate: 3e-3,
  lr_scheduler: "cosine",
  warmup_steps: 10,
  lora_r: 32,
  lora_alpha: 64,
  target_modules: "all-linear",
  max_length: 128,
  packing: true,
  shuffle_buffer: 1000,
  lora_dropout: 0,
  trainers: 2,
};

async function main() {
  process.chdir(ROOT);
  const began = performance.now();
  await rm(join(OUTPUT, "adapter"), { recursive: true, force: true });
  await mkdir(OUTPUT, { recursive: true });
  const { train, heldOut } = await splitSources();
  say(`${train.length} of this project's TypeScript files to train on, ${heldOut.length} held out\n`);
  const trainFile = await writeRows("train.jsonl", train);
  const heldOutFile = await writeRows("held-out.jsonl", heldOut);
  const adapter = join(OUTPUT, "adapter");

  const evaluate = ["eval", "--model_id", MODEL, "--dataset", heldOutFile, "--packing", "--batch_size", "8"];
  say("measuring the model before training");
  const lossBefore = await document(evaluate);
  const before = await completions();

  const flags = Object.entries(RECIPE).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const training = ["train", "--model_id", MODEL, "--dataset", trainFile, "--output_dir", adapter, ...flags];
  say(`\n$ gradpool ${training.join(" ")}\n`);
  await gradpool(training, "inherit");

  say("\nmeasuring the model with its adapter");
  const lossAfter = await document([...evaluate, "--adapter", adapter]);
  const after = await completions("--adapter", adapter);

  const texts = PROMPTS.map((prompt, i) => `before:\n${before[i]}\nafter:\n${after[i]}\n`);
  say(`
${texts.join("\n")}
held-out loss        ${lossBefore.loss.toFixed(4)} → ${lossAfter.loss.toFixed(4)}   (${lossBefore.tokens} tokens)
held-out perplexity  ${lossBefore.perplexity.toFixed(2)} → ${lossAfter.perplexity.toFixed(2)}

files: ${adapter}/ (adapter_model.safetensors, metrics.json, loss.png, …)
total ${((performance.now() - began) / 1000).toFixed(0)} s`);
}

/**
 * Which files go where depends only on their paths. Generated code is left out.
 */
async function splitSources() {
  const paths = (await Promise.all(["packages", "services"].map(sourcesIn))).flat();
  const byHash = (path) => createHash("sha256").update(path).digest("hex");
  paths.sort((one, other) => (byHash(one) < byHash(other) ? -1 : 1));
  const files = [];
  for (const path of paths) {
    const content = await readFile(path, "utf8");
    if (content.length <= MAX_FILE_BYTES) files.push({ path, content });
  }
  const heldOut = takeBytes(files, HELD_OUT_BYTES);
  return { heldOut, train: takeBytes(files.slice(heldOut.length), TRAIN_BYTES) };
}

async function sourcesIn(folder) {
  const entries = await readdir(folder, { withFileTypes: true });
  const found = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist", "gen"].includes(entry.name) ? [] : sourcesIn(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });
  return (await Promise.all(found)).flat();
}

/** Files from the start, up to `bytes` in total. */
function takeBytes(files, bytes) {
  let left = bytes;
  const end = files.findIndex(({ content }) => (left -= content.length) < 0);
  return end < 0 ? files : files.slice(0, end);
}

async function writeRows(name, files) {
  const path = join(OUTPUT, name);
  await writeFile(path, files.map((file) => `${JSON.stringify(file)}\n`).join(""));
  return path;
}

const say = (text) => console.log(text);

/** Each prompt with the model's completion. */
async function completions(...flags) {
  const texts = [];
  for (const prompt of PROMPTS) {
    const sample = ["sample", "--model_id", MODEL, "--prompt", prompt, ...SAMPLING, ...flags];
    texts.push(indented(prompt + (await document(sample)).completion));
  }
  return texts;
}

const indented = (text) => text.trimEnd().replace(/^/gm, "    ");

/** The JSON document that a command writes. */
async function document(argv) {
  return JSON.parse(await gradpool([...argv, "--json"], "pipe"));
}

/** Runs the command line; returns its standard output if that is piped. Exits if it fails. */
async function gradpool(argv, stdout) {
  const child = spawn(process.execPath, ["services/cli/bin/gradpool.js", ...argv], {
    stdio: ["inherit", stdout, "inherit"],
  });
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (piece) => (text += piece));
  const code = await new Promise((resolve, reject) => {
    child.once("close", resolve);
    child.once("error", reject);
  });
  if (code !== 0) process.exit(code ?? 1);
  return text;
}

// Ctrl-C also reaches the command, which stops its services in order; this process waits for it.
process.on("SIGINT", () => {});
await main();

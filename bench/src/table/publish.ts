/** docs/speed.md and docs/pictures/speed.svg from a file in bench/results: the newest, or the one that is named. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { speedSvg } from "./picture.js";
import { cellsOf, machineText, tableText, type Result } from "./result.js";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
export const RESULTS = join(ROOT, "bench/results");

/** The newest result's file. */
export async function newestResult(): Promise<string> {
  const names = (await readdir(RESULTS)).filter((name) => /^\d.*\.json$/.test(name)).sort();
  return join(RESULTS, names.at(-1) ?? "");
}

/** What is published of a result, by its place in the project. */
export async function documentsOf(path: string): Promise<Record<string, string>> {
  const result = JSON.parse(await readFile(path, "utf8")) as Result;
  return { "docs/speed.md": pageOf(result), "docs/pictures/speed.svg": speedSvg(result) };
}

export async function publish(path: string): Promise<void> {
  for (const [name, text] of Object.entries(await documentsOf(path))) await writeFile(join(ROOT, name), text);
}

const pageOf = (result: Result) => `# Speed and memory against PEFT

Written by \`make bench\` from the newest file in \`bench/results\`.

${EXPLANATION}

![Speed and peak memory against PEFT](pictures/speed.svg)

${tableText(cellsOf(result.lines))}

${machineText(result)} Commit ${result.commit}.

${HOW}
`;

const EXPLANATION = `Each figure is the median of the rounds, with the least and the most in brackets. The columns to its right say how many times as fast
that is as PEFT on the same machine, or of memory, what share of PEFT's it is. All were measured in turn in one run, and each ratio is of one round.

Steps are of 8 × 128 tokens with LoRA r 8 (GPT-2 small: c_attn and c_proj; SmolLM2-135M: q_proj, k_proj, v_proj and o_proj), on two threads,
with random weights of the models' shapes. A step's limit is products [1024, 768] × [768, 3072] × [3072, 768] by the same runtime, compared in floating-point
operations a second; those of attention and of the adapter do not count for the step. Peak memory with gradient checkpointing is compared
with PEFT's with its own. \`train\` is the whole command with its default recipe, against a script that does the same.`;

const HOW = `## How to measure

\`\`\`
make bench                                  # three rounds, about half an hour on two quiet cores
PYTHON=path/to/python make bench            # an interpreter with torch, transformers and peft, for the ratios to PEFT
make bench SHORT=1                          # one round of less, about five minutes
make bench ONLY=steps,coordinator           # some of steps, command, trainers, coordinator
make bench ROUNDS=5
\`\`\`

All of it in full writes a file named by the date to \`bench/results\`, this page and its picture; anything else writes partial.json there. \`make test\` has a short form without Python
(\`bench/test/step-speed.test.ts\`): a step's share of the bare product must not fall below what was seen in many runs, with and without other work
beside them. Other programs in \`bench\` measure one thing each; docs/numbers.md has their figures.`;

if (process.argv[1] === fileURLToPath(import.meta.url)) await publish(process.argv[2] ?? (await newestResult()));

/**
 * The one table of speed and memory: each figure with its ratios to PEFT float32, PEFT bfloat16 and the limit, measured in turn in one
 * run. Written to bench/results; all groups in full with PEFT also to docs/speed.md and its picture.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PYTHON, pythonVersions } from "../child.js";
import { commit, describeMachine } from "./machine.js";
import { publish, RESULTS } from "./publish.js";
import { cellsOf, machineText, tableText, type Result } from "./result.js";
import type { Group, Line } from "./row.js";
import { COMMAND } from "./rows/command.js";
import { COORDINATOR, TRAINERS } from "./rows/pool.js";
import { STEPS } from "./rows/steps.js";

const GROUPS: readonly Group[] = [STEPS, COMMAND, TRAINERS, COORDINATOR];
/** A result that is not published. */
const PARTIAL = "partial.json";
const ROUNDS = { full: 3, short: 1 };

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    // Names of groups, separated by commas; empty: all.
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "" },
  },
});

function chosenGroups(): readonly Group[] {
  const names = values.only.split(",").filter((name) => name !== "");
  const unknown = names.find((name) => !GROUPS.some((group) => group.name === name));
  if (unknown === undefined) return names.length === 0 ? GROUPS : GROUPS.filter(({ name }) => names.includes(name));
  throw new Error(`there is no group ${unknown}; choose from ${GROUPS.map(({ name }) => name).join(", ")}`);
}

async function measure(): Promise<void> {
  const form = values.short ? "short" : "full";
  const groups = chosenGroups();
  const rounds = values.rounds === "" ? ROUNDS[form] : Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds >= 1)) throw new Error(`--rounds must be at least 1, not ${values.rounds}`);
  const python = pythonVersions();
  const minutes = (groups.reduce((sum, group) => sum + group.minutes[form], 0) * rounds) / ROUNDS[form];
  console.error(`${groups.map(({ name }) => name).join(", ")}: about ${Math.ceil(minutes)} minutes on two quiet cores`);
  const date = new Date().toISOString();
  const machine = describeMachine(python);
  const folder = await mkdtemp(join(tmpdir(), "gradpool-bench-run-"));
  const lines: Line[] = [];
  try {
    const progress = (what: string) => console.error(`  ${what}`);
    const context = { rounds, short: values.short, withPeft: python !== undefined, folder, progress };
    for (const group of groups) lines.push(...(await group.measure(context)));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const result: Result = { date, commit: commit(), rounds, short: values.short, machine, lines };
  console.log(`${tableText(cellsOf(lines))}\n\n${machineText(result)}`);
  if (!python)
    console.error(
      `${PYTHON} lacks torch, transformers or peft, so ratios to PEFT are missing; set PYTHON to an interpreter that has them: ` +
        "python3 -m venv .cache/peft && .cache/peft/bin/pip install torch transformers peft && PYTHON=.cache/peft/bin/python make bench",
    );
  await mkdir(RESULTS, { recursive: true });
  const isComplete = !values.short && groups.length === GROUPS.length && python !== undefined;
  const path = join(RESULTS, isComplete ? `${date.slice(0, 10)}.json` : PARTIAL);
  await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  if (isComplete) await publish(path);
  console.error(`written: ${path}${isComplete ? ", docs/speed.md and its picture" : ""}`);
}

try {
  await measure();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

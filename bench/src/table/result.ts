/** What a run of the table gives: a file in bench/results, and its text. */
import { spreadText } from "../rounds.js";
import type { Machine } from "./machine.js";
import { REFERENCES, type Line } from "./row.js";

export interface Result {
  /** When it was measured, ISO 8601. */
  date: string;
  commit: string;
  rounds: number;
  /** It is a look, from fewer steps and rows. */
  short: boolean;
  machine: Machine;
  lines: readonly Line[];
}

const DIGITS = { "tokens/s": 0, GB: 2, s: 1, ms: 0 } as const;

/** The table's cells, its head first. */
export function cellsOf(lines: readonly Line[]): string[][] {
  const head = ["what", "figure", ...REFERENCES.map((reference) => `÷ ${reference}`)];
  const rows = lines.map(({ what, unit, value, ratios }) => [
    what,
    `${spreadText(value, DIGITS[unit])} ${unit}`,
    ...REFERENCES.map((reference) => (ratios[reference] ? spreadText(ratios[reference]) : "")),
  ]);
  return [head, ...rows];
}

/** Cells as lines of equal columns, with `|` around them as Markdown has them. */
export function tableText(cells: readonly (readonly string[])[]): string {
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}

/** When and how it was measured. */
export function occasionText({ date, short, rounds, machine }: Result): string {
  const times = rounds === 1 ? "one round" : `${rounds} rounds`;
  return `${date.slice(0, 10)}, ${short ? "the short form, " : ""}${times}, at a load of ${machine.load.toFixed(1)}`;
}

export function machineText(result: Result): string {
  const { processor, cores, instructions, memory_bytes: bytes, node, onnxruntime, python } = result.machine;
  const versions = Object.entries(python).map(([name, version]) => `${name} ${version}`);
  const software = [`Node ${node}`, `ONNX Runtime ${onnxruntime}`, ...versions].join(", ");
  const hardware = `${processor}, ${cores} cores, ${(bytes / 2 ** 30).toFixed(0)} GiB`;
  return `${occasionText(result)}: ${hardware} (${instructions.join(" ")}); ${software}.`;
}

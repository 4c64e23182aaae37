/** Text for the terminal: tables, facts, lines. */
import { count, visible } from "@gradpool/format";

/** The line of PEFT's print_trainable_parameters. */
export function trainableParameters(trainable: number, all: number): string {
  const share = ((100 * trainable) / all).toFixed(4);
  return `trainable params: ${count(trainable)} || all params: ${count(all)} || trainable%: ${share}`;
}

/** Columns, each as wide as its widest cell; numbers align right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => visible(String(cell))));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  const isNumber = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"));
  return cells
    .map((row) =>
      row
        .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Lines of "name  value", the names in one column. */
export function facts(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${visible(value)}`).join("\n");
}

/** Everything on one line. */
export const oneLine = (text: string) => text.trim().replace(/\s*\n\s*/g, " ");

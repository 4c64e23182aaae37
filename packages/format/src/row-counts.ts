/** What there is to say about the rows of a data set or a run. */
import { count, counted } from "./numbers.js";

export interface RowCounts {
  rows: number;
  /** Longer than max_length. */
  rowsCut: number;
  /** Of the rows that are cut, those that lose their end-of-sequence token by it. */
  rowsWithoutEos: number;
  /** Nothing in them counts in the loss. */
  rowsWithoutTarget: number;
  /** Of a run: steps left out, since no row in them has a target. */
  stepsWithoutTarget: number;
}

/** "600 rows"; where rows are joined and cut, they are blocks. */
export const rowsText = (rows: number, { packing, packingStrategy }: Packing): string =>
  counted(rows, packing && packingStrategy !== "bfd" ? "block" : "row");

/** Of a recipe: how rows are joined. */
interface Packing {
  packing: boolean;
  packingStrategy?: string;
}

/**
 * What a person should know, a line each; none when all is well. `of`: which rows were counted, such as "of 600 rows".
 * `past`: they were trained on.
 */
export function rowLines(counts: RowCounts, maxLength: number, of: string, past: boolean): string[] {
  const { rowsCut, rowsWithoutEos, rowsWithoutTarget, stepsWithoutTarget } = counts;
  const lines: string[] = [];
  if (rowsCut > 0) {
    const be = toBe(rowsCut, past);
    const whose = rowsCut === 1 ? "its end-of-sequence token" : "their end-of-sequence token";
    const lost = rowsWithoutEos === rowsCut ? whose : `the end-of-sequence token of ${count(rowsWithoutEos)}`;
    const eos = rowsWithoutEos > 0 ? `, which ${past ? "removed" : "removes"} ${lost}` : "";
    lines.push(`${count(rowsCut)} ${of} ${be} longer than --max_length ${maxLength} and ${be} cut${eos}`);
  }
  if (rowsWithoutTarget > 0) {
    const [have, them] = rowsWithoutTarget === 1 ? [past ? "had" : "has", "it"] : [past ? "had" : "have", "them"];
    const counts = past ? "counted" : "counts";
    lines.push(`${count(rowsWithoutTarget)} ${of} ${have} no target: nothing in ${them} ${counts} in the loss`);
  }
  if (stepsWithoutTarget > 0) {
    const [be, have] = [toBe(stepsWithoutTarget, past), past ? "had" : "has"];
    const which = stepsWithoutTarget === 1 ? "it" : "them";
    lines.push(`${counted(stepsWithoutTarget, "step")} ${be} left out, since no row in ${which} ${have} a target`);
  }
  return lines;
}

/** rowLines of all rows that a run was trained on. `recipe`: the run's. */
export const trainedRowLines = (counts: RowCounts, recipe: Packing & { maxLength: number }): string[] =>
  rowLines(counts, recipe.maxLength, `of ${rowsText(counts.rows, recipe)}`, true);

const toBe = (number: number, past: boolean): string => (number === 1 ? (past ? "was" : "is") : past ? "were" : "are");

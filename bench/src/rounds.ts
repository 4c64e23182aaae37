/**
 * Figures measured in turn, round by round. Other work on a machine changes between rounds more than within one, so what counts is
 * the ratio within a round, and the spread of these ratios.
 */

export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** The least number that this share of them, above 0, does not exceed: p99 of fifty is the largest. */
export function quantile(numbers: readonly number[], share: number): number {
  return [...numbers].sort((a, b) => a - b)[Math.ceil(share * numbers.length) - 1] ?? NaN;
}

export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);

export function spreadOf(numbers: readonly number[]): Spread {
  return { median: median(numbers), least: Math.min(...numbers), most: Math.max(...numbers) };
}

/** Round by round, one figure by the other. */
export const ratiosOf = (over: readonly number[], under: readonly number[]): number[] =>
  over.map((figure, round) => figure / (under[round] ?? NaN));

/** "1.40 (1.11 to 1.46)"; of one round, its figure alone. */
export function spreadText({ median, least, most }: Spread, digits = 2): string {
  const range = least === most ? "" : ` (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
  return `${median.toFixed(digits)}${range}`;
}

/** Each contender once a round. Returns what they gave, by name. */
export async function inTurn<K extends string, T>(
  rounds: number,
  contenders: Readonly<Record<K, (round: number) => Promise<T>>>,
): Promise<Record<K, T[]>> {
  const all = Object.entries(contenders) as [K, (round: number) => Promise<T>][];
  const found = Object.fromEntries(all.map(([name]) => [name, []])) as unknown as Record<K, T[]>;
  for (let round = 1; round <= rounds; round++) {
    for (const [name, measure] of all) found[name].push(await measure(round));
  }
  return found;
}

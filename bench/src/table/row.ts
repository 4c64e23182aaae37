import type { Spread } from "../rounds.js";

/** What a figure is compared with: PEFT on the same machine, or what the runtime's bare product, or a perfect pool, would reach. */
export const REFERENCES = ["PEFT float32", "PEFT bfloat16", "limit"] as const;
export type Reference = (typeof REFERENCES)[number];

/** One line of the table. */
export interface Line {
  what: string;
  unit: "tokens/s" | "GB" | "s" | "ms";
  value: Spread;
  /**
   * By round: how many times as fast as each reference, or of memory, the figure ÷ the reference's. Peak memory with checkpointing is
   * compared with PEFT's with its own.
   */
  ratios: Partial<Record<Reference, Spread>>;
}

export interface Context {
  rounds: number;
  /** Less of everything: a look, not a figure to publish. */
  short: boolean;
  /** PEFT's side can be measured, too. */
  withPeft: boolean;
  /** For what is written; removed at the end. */
  folder: string;
  progress: (what: string) => void;
}

/** Lines that are measured in turn with each other. */
export interface Group {
  name: string;
  /** That it takes on two quiet cores with three rounds and PEFT's side, and in short. */
  minutes: { full: number; short: number };
  measure(context: Context): Promise<Line[]>;
}

/** Contenders whose progress is shown. */
export function shown<T>(
  { rounds, progress }: Context,
  what: string,
  contenders: Readonly<Record<string, () => Promise<T>>>,
): Record<string, (round: number) => Promise<T>> {
  return Object.fromEntries(
    Object.entries(contenders).map(([name, measure]) => [
      name,
      (round: number) => {
        progress(`round ${round} of ${rounds}: ${what}, ${name}`);
        return measure();
      },
    ]),
  );
}

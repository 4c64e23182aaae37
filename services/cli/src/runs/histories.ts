import type { CommandContext } from "../command-context.js";
import { Pool } from "./pool.js";
import { readHistory, type RunHistory } from "./run-history.js";

/** Of several runs, in order. The pool is called when one of them is no folder. Errors: those of readHistory. */
export async function readHistories(
  named: readonly string[],
  address: string,
  { output, interrupts }: CommandContext,
): Promise<RunHistory[]> {
  let pool: Pool | undefined;
  const poolAt = () => (pool ??= new Pool(address, (text) => output.note(text)));
  const histories: RunHistory[] = [];
  try {
    for (const one of named) histories.push(await readHistory(one, poolAt, interrupts.signal));
    return histories;
  } finally {
    pool?.[Symbol.dispose]();
  }
}

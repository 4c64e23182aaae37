/** gradpool pool verify: whether a run store is what was written, in a running pool or in a file. */
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { counted, visible } from "@gradpool/format";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { linesOfProgram } from "../local-stack/coordinator-program.js";
import { Pool } from "../runs/pool.js";

const HELP = `
Every row has a checksum. Without FILE the pool looks at its run store while it keeps working; with FILE, at a run store that
no coordinator uses, or at a copy that "gradpool pool backup" made. Nothing is changed. Exits with 1 when something is damaged.

Examples:
  gradpool pool verify
  gradpool pool verify runs-monday.sqlite
${HELP_TAIL}`;

interface Part {
  rows: number;
  problems: string[];
}

export function addPoolVerify(pool: Command, options: ProgramOptions): void {
  const command = pool.command("verify").description("check the run store of a running pool, or one in a file");
  onPool(command.argument("[file]", "run store, or a copy of one"), options)
    .addHelpText("after", HELP)
    .action((file: string | undefined, flags: PoolFlags) => poolVerify(file, flags, contextFor(flags, options)));
}

async function poolVerify(
  file: string | undefined,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = file === undefined ? new Pool(flags.address, config.access, (text) => output.note(text)) : undefined;
  const parts = pool
    ? pool.verifyRunStore(interrupts.signal)
    : linesOfProgram<Part>("verify-store", [resolve(file ?? "")], { signal: interrupts.signal });
  const problems: string[] = [];
  let rows = 0;
  for await (const part of parts) {
    rows += part.rows;
    problems.push(...part.problems);
  }
  const what = file ?? `the run store of the pool at ${flags.address}`;
  output.document({ path: file, address: file === undefined ? flags.address : undefined, rows, problems });
  if (problems.length > 0) {
    for (const problem of problems) output.note(visible(problem));
    const advice = `restore a copy that "gradpool pool backup" made, see docs/operating.md`;
    throw new GradpoolError("data_loss", `${what} is damaged (${counted(problems.length, "problem")}); ${advice}`);
  }
  output.say(`${what}: ${counted(rows, "row")}, all as they were written`);
}

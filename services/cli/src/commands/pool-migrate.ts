/** gradpool pool migrate: the runs of a stopped pool, from its SQLite file to PostgreSQL. */
import { resolve } from "node:path";
import { counted } from "@gradpool/format";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { linesOfProgram } from "../local-stack/coordinator-program.js";
import { UsageError } from "../usage-error.js";

const HELP = `
Stop the coordinator first. All is moved or nothing: rows are compared one by one before the move counts, and a move that was
interrupted is repeated. The database must be empty; the file stays as it is. Then start coordinators with GRADPOOL_STORE=URL.

A password in a URL can be seen by others on this machine: leave it out, and set PGPASSWORD, or PGPASSFILE to a file as
libpq's, or set GRADPOOL_STORE instead of --to.

Examples:
  gradpool pool migrate --from runs.sqlite --to postgres://gradpool@db.example/gradpool?sslmode=verify-full
  GRADPOOL_STORE=postgres://… gradpool pool migrate --from ~/.gradpool/pools/7070/runs.sqlite
${HELP_TAIL}`;

interface Flags extends OutputFlags {
  from: string;
  to?: string;
}

interface Progress {
  doing: "looking" | "copying" | "comparing";
  rows: number;
  of: number;
}

export function addPoolMigrate(pool: Command, options: ProgramOptions): void {
  pool
    .command("migrate")
    .description("move the runs of a stopped pool from its file to PostgreSQL")
    .option("--from <file>", "run store of the stopped pool, or a copy of one")
    .option("--to <url>", "postgres:// URL of an empty database (default: $GRADPOOL_STORE)")
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action((flags: Flags) => poolMigrate(flags, contextFor(flags, options, ["from"])));
}

async function poolMigrate({ from, to }: Flags, { output, interrupts }: CommandContext): Promise<void> {
  const url = to ?? process.env["GRADPOOL_STORE"];
  if (!url) throw new UsageError("there is no database to move the runs to; give --to, or set GRADPOOL_STORE");
  // Not as an argument, which others on the machine can see.
  const env = { ...process.env, GRADPOOL_STORE: url };
  const path = resolve(from);
  let rows = 0;
  for await (const { doing, rows: done, of } of linesOfProgram<Progress>("migrate-store", [path], {
    ...{ signal: interrupts.signal, env },
  })) {
    rows = of;
    output.progress(`${doing}: ${done} of ${counted(of, "row")}`, done === of);
  }
  output.document({ path, rows });
  output.say(`${from}: ${counted(rows, "row")} moved, and each compared; the file is as it was`);
}

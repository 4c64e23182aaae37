/** gradpool pool backup: a copy of the pool's run store in a local file, complete or not there. */
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { bytes } from "@gradpool/format";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { Pool } from "../runs/pool.js";

const HELP = `
The copy has the runs, their steps and events, but not their output folders. To start a coordinator from it, set
GRADPOOL_STORE=FILE.

Examples:
  gradpool pool backup runs-monday.sqlite
  gradpool pool backup --address 10.0.0.5:7070 /backups/runs.sqlite
${HELP_TAIL}`;

export function addPoolBackup(pool: Command, options: ProgramOptions): void {
  const command = pool.command("backup").description("copy the run store of a running pool to a local file");
  onPool(command.argument("<file>", "file to write; replaced if it exists"), options)
    .addHelpText("after", HELP)
    .action((file: string, flags: PoolFlags) => poolBackup(file, flags, contextFor(flags, options)));
}

async function poolBackup(
  file: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  const path = resolve(file);
  const partial = `${path}.partial`;
  let sizeBytes = 0;
  try {
    using pool = new Pool(flags.address, config.access, (text) => output.note(text));
    // Opened first: without a file to write there is nothing to ask for.
    const handle = await open(partial, "w");
    try {
      for await (const piece of pool.backUp(interrupts.signal)) {
        await handle.writeFile(piece);
        sizeBytes += piece.byteLength;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw isOfFiles(error) ? cannotBeWritten(file, error) : error;
  }
  output.document({ address: flags.address, path, size_bytes: sizeBytes });
  output.say(`${file}: ${bytes(sizeBytes)}, all runs of the pool at ${flags.address}`);
}

const isOfFiles = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "syscall" in error;

function cannotBeWritten(file: string, cause: NodeJS.ErrnoException): GradpoolError {
  return new GradpoolError("failed_precondition", `${file} cannot be written (${cause.code}); name another file`, {
    cause,
  });
}

/** gradpool pool backup: a copy of the pool's run store in a file here, which is whole or not there. */
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { bytes } from "../terminal/format.js";

export async function poolBackup(
  file: string,
  flags: { address: string },
  { output, interrupts }: CommandContext,
): Promise<void> {
  const path = resolve(file);
  const partial = `${path}.partial`;
  let sizeBytes = 0;
  try {
    using pool = new Pool(flags.address, (text) => output.note(text));
    // Opened first: nothing is asked for that has no place to go.
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

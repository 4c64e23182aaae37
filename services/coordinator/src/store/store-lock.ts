import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { GradpoolError } from "@gradpool/errors";
import { identityOf, isAlive, processIdentity } from "@gradpool/service-kit";

/**
 * One coordinator uses a run store at a time: a file beside it names its process. The lock of a dead process
 * is taken over. Returns what releases it. Errors: `failed_precondition` when another process is alive.
 */
export function lockStore(path: string): () => void {
  const lock = `${path}.pid`;
  for (;;) {
    try {
      const file = openSync(lock, "wx");
      writeSync(file, `${JSON.stringify(identityOf())}\n`);
      fsyncSync(file);
      closeSync(file);
      return () => rmSync(lock, { force: true });
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    takeAway(path, lock);
  }
}

function takeAway(path: string, lock: string): void {
  const text = read(lock);
  const owner = text === undefined ? undefined : parse(text);
  if (owner && isAlive(owner)) {
    const elsewhere =
      owner.host === identityOf().host ? "" : ` on ${owner.host}; if that machine is gone, remove ${lock}`;
    const message = `the run store ${path} is in use by the coordinator with process id ${owner.pid}${elsewhere}`;
    throw new GradpoolError("failed_precondition", `${message}; stop that coordinator, or name another file`);
  }
  // By renaming: of two that remove it at once, one succeeds.
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if (read(aside) === text) unlinkSync(aside);
  else renameSync(aside, lock);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Undefined if its writer died while writing it. */
function parse(text: string): ReturnType<typeof processIdentity.parse> | undefined {
  try {
    return processIdentity.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;

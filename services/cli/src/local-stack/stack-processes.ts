/** The processes of this machine's stacks, from their pid files, even when nothing answers any more. */
import { readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { identityOf, isAlive, readPidFile, type PidFile } from "@gradpool/service-kit";

/** Time and process that started it, then a number when it was not that process's first. */
export const STACK_NAME = /^\d{8}T\d{6}Z-(\d+)(-\d+)?$/;

/** The process that keeps the stack's services alive. */
export const OWNER = "gradpool";

/** The folder of all stacks' pid files. */
export const runFolder = (home: string) => join(home, "run");

/** The pid file of a process, in its stack's folder. */
export const pidPath = (run: string, name: string) => join(run, `${name}.pid`);

/** A service takes no longer to end once its owner is gone. */
const ORPHAN_GRACE_MS = 15_000;
const ORPHAN_PAUSE_MS = 50;

export interface StackProcesses {
  name: string;
  /** One of its processes still runs. */
  isAlive: boolean;
  processes: (PidFile & { isAlive: boolean })[];
}

/** All stacks with pid files under `home`, the oldest first; none where there is no such folder. */
export async function readStacks(home: string): Promise<StackProcesses[]> {
  const names = (await readdir(runFolder(home)).catch(() => [])).filter((name) => STACK_NAME.test(name));
  return Promise.all(names.sort().map((name) => readStack(join(runFolder(home), name), name)));
}

async function readStack(run: string, name: string): Promise<StackProcesses> {
  const files = (await readdir(run).catch(() => [])).filter((file) => file.endsWith(".pid")).sort();
  const found = await Promise.all(files.map((file) => readPidFile(join(run, file))));
  const processes = found
    .filter((file) => file !== undefined)
    .map((file) => ({ ...file, isAlive: isAlive(file.process) }))
    .sort((a, b) => Number(b.name === OWNER) - Number(a.name === OWNER));
  const isOwnerKnown = processes.some((process) => process.name === OWNER);
  // A stack that has just started has no pid file yet: its name holds the process.
  const owner = identityOf(Number(STACK_NAME.exec(name)?.[1]));
  return {
    name,
    isAlive: processes.some((process) => process.isAlive) || (!isOwnerKnown && isAlive(owner)),
    processes,
  };
}

/**
 * The services of a stack whose owner was killed end by themselves, in order. Waits for that, so that
 * the next stack finds their ports free and their files unused.
 */
export async function orphansEnded(home: string, signal: AbortSignal | undefined): Promise<void> {
  const giveUpAt = performance.now() + ORPHAN_GRACE_MS;
  while (performance.now() < giveUpAt && (await readStacks(home)).some(hasOrphans)) {
    await delay(ORPHAN_PAUSE_MS, undefined, signal && { signal });
  }
}

function hasOrphans({ isAlive, processes }: StackProcesses): boolean {
  const owner = processes.find(({ name }) => name === OWNER);
  return isAlive && owner?.isAlive === false && owner.process.host === hostname();
}

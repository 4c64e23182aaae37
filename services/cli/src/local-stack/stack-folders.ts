/** The folders of a local stack: its logs and its pid files. */
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { writePidFile } from "@gradpool/service-kit";
import { OWNER, pidPath, readStacks, runFolder, STACK_NAME } from "./stack-processes.js";

/** Stacks whose logs are kept, besides those that run. */
const KEPT_STACKS = 20;

export interface StackFolders {
  /** What all stacks of a user have in common. */
  home: string;
  logs: string;
  /** Where each process of the stack has its pid file. */
  run: string;
  /** Why they are not under the requested home. */
  fallback?: string;
}

/** Makes the folders of one stack under `home`, or under the system's temporary folder when that cannot be written. */
export async function createStackFolders(home: string, now: Date): Promise<StackFolders> {
  const name = `${now.toISOString().replace(/[-:]/g, "").replace(/\..*/, "Z")}-${process.pid}`;
  try {
    return await makeFolders(home, name);
  } catch (error) {
    const folders = await makeFolders(fallbackHome(), name).catch((cause: unknown) => {
      const advice = "set GRADPOOL_HOME to a folder that can be written";
      throw new GradpoolError("permission_denied", `no folder for logs: ${String(cause)}; ${advice}`, { cause });
    });
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { ...folders, fallback: `${home} cannot be written (${code}); logs go to ${folders.logs}` };
  }
}

/** Used instead of a home that cannot be written. */
export const fallbackHome = () => join(tmpdir(), `gradpool-${userInfo().username}`);

async function makeFolders(home: string, wanted: string): Promise<StackFolders> {
  const allLogs = join(home, "logs");
  const name = await makeOwnFolder(allLogs, wanted);
  const logs = join(allLogs, name);
  // A folder that exists need not be writable.
  const probe = await open(join(logs, "stack.log"), "a");
  await probe.close();
  const running = await clearDeadStacks(home);
  const run = join(runFolder(home), name);
  await mkdir(run, { recursive: true });
  await writePidFile(pidPath(run, OWNER), { name: OWNER, address: "", pid: process.pid });
  await removeOldestLogs(allLogs, new Set([...running, name]));
  return { home, logs, run };
}

/** A process may have several stacks, begun within one second. */
async function makeOwnFolder(parent: string, wanted: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
    try {
      await mkdir(join(parent, name));
      return name;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
  }
}

/** Removes the pid files that a killed stack left. Gives the names of the others. */
async function clearDeadStacks(home: string): Promise<string[]> {
  const stacks = await readStacks(home);
  for (const { name, isAlive } of stacks) {
    if (!isAlive) await rm(join(runFolder(home), name), { recursive: true, force: true });
  }
  return stacks.filter(({ isAlive }) => isAlive).map(({ name }) => name);
}

/** The logs of a running stack stay, however old: its database may be beside them. */
async function removeOldestLogs(allLogs: string, running: ReadonlySet<string>): Promise<void> {
  const names = (await readdir(allLogs)).filter((name) => STACK_NAME.test(name) && !running.has(name)).sort();
  for (const name of names.slice(0, -KEPT_STACKS)) {
    await rm(join(allLogs, name), { recursive: true, force: true });
  }
}

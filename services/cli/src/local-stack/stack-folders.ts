/** The folders of a local stack: its logs and its pid files. */
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { forgetKey, hostAndPort, localKeyFile } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { writePidFile } from "@gradpool/service-kit";
import { OWNER, pidPath, readStacks, runFolder, STACK_NAME } from "./stack-processes.js";

/** Stacks whose logs are kept, besides those that run. */
const KEPT_STACKS = 20;

/** An empty run store takes this much. */
const PROBE_BYTES = 64 << 10;

export interface StackFolders {
  /** What all stacks of a user have in common. */
  home: string;
  logs: string;
  /** Where each process of the stack has its pid file. */
  run: string;
}

/**
 * Makes the folders of one stack under `home`. Errors: `permission_denied`, or `resource_exhausted` when the disk is
 * full, naming the folder.
 */
export async function createStackFolders(home: string, now: Date): Promise<StackFolders> {
  try {
    return await makeFolders(home, `${now.toISOString().replace(/[-:]/g, "").replace(/\..*/, "Z")}-${process.pid}`);
  } catch (error) {
    throw unwritable(home, error);
  }
}

/** As createStackFolders, for a stack that leaves nothing to keep: `fallbackHome()` will do when `home` cannot be written. */
export async function createPrivateFolders(home: string, now: Date, note: (text: string) => void) {
  try {
    return await createStackFolders(home, now);
  } catch (error) {
    const folders = await createStackFolders(fallbackHome(), now);
    note(`${GradpoolError.from(error).message}; until then logs go to ${folders.logs}`);
    return folders;
  }
}

/** Used instead of a home that cannot be written. The system may know no name for the user, but has a number. */
export const fallbackHome = () => join(tmpdir(), `gradpool-${process.getuid?.() ?? userInfo().username}`);

/** Makes the folder that keeps a pool's runs. Errors: as createStackFolders. */
export async function createRunStoreFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await checkWritable(folder);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/** A folder that exists need not be writable, and a full disk still takes empty files. */
async function checkWritable(folder: string): Promise<void> {
  const probe = join(folder, `.probe-${process.pid}`);
  try {
    await writeFile(probe, Buffer.alloc(PROBE_BYTES));
  } finally {
    await rm(probe, { force: true });
  }
}

function unwritable(folder: string, cause: unknown): GradpoolError {
  if (cause instanceof GradpoolError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  const isFull = ["ENOSPC", "EDQUOT"].includes(code);
  const message = isFull
    ? `${folder} has no space left (${code}); free some, or set GRADPOOL_HOME to a folder on another disk`
    : `${folder} cannot be written (${code}); set GRADPOOL_HOME to a folder that can be written`;
  return new GradpoolError(isFull ? "resource_exhausted" : "permission_denied", message, { cause });
}

async function makeFolders(home: string, wanted: string): Promise<StackFolders> {
  await checkOwn(home);
  const allLogs = join(home, "logs");
  const name = await makeOwnFolder(allLogs, wanted);
  const logs = join(allLogs, name);
  await checkWritable(logs);
  const running = await clearDeadStacks(home);
  const run = join(runFolder(home), name);
  await mkdir(run, { recursive: true });
  await writePidFile(pidPath(run, OWNER), { name: OWNER, address: "", pid: process.pid });
  await removeOldestLogs(allLogs, new Set([...running, name]));
  return { home, logs, run };
}

/**
 * Makes the folder, or checks that it is the user's own: whoever else may write there could replace runs, keys and logs,
 * and in the system's temporary folder anybody may have made it before. Errors: `permission_denied`.
 */
async function checkOwn(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(folder);
  const user = process.getuid?.() ?? uid;
  const advice = "set GRADPOOL_HOME to a folder of your own";
  // root may use the folder of the user that it works for.
  if (uid !== user && user !== 0) {
    throw new GradpoolError("permission_denied", `${folder} belongs to another user (uid ${uid}); ${advice}`);
  }
  if ((mode & 0o002) !== 0) {
    throw new GradpoolError("permission_denied", `${folder} can be written by every user; ${advice}, or chmod o-w it`);
  }
}

/** A process may have several stacks, begun within one second. */
async function makeOwnFolder(parent: string, wanted: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
    try {
      await mkdir(join(parent, name), { mode: 0o700 });
      return name;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
  }
}

/** Removes the pid files that a killed stack left. Gives the names of the others. */
async function clearDeadStacks(home: string): Promise<string[]> {
  const stacks = await readStacks(home);
  for (const { name, processes } of stacks.filter((stack) => !stack.isAlive)) {
    await rm(join(runFolder(home), name), { recursive: true, force: true });
    const { port } = hostAndPort(processes.find((process) => process.name === "coordinator")?.address ?? "");
    const keyFile = localKeyFile(home, port);
    // That of a pool at any port has its key alone, which was good for one life.
    const files = port === "" ? [] : await readdir(dirname(keyFile)).catch(() => []);
    if (files.length === 1) await forgetKey(keyFile);
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

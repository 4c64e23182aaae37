/** Where the services of a local stack write their logs. */
import { mkdir, open, readdir, rm, type FileHandle } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";

/** Stacks whose logs are kept. */
const KEPT_STACKS = 20;

/** How much of a log's end is shown. */
const TAIL_LINES = 8;
const TAIL_BYTES = 64 * 1024;

export interface LogFolder {
  path: string;
  /** Why it does not lie under the home that was asked for. */
  fallback?: string;
}

/** Makes a folder for one stack's logs under `home`, or under the system's temporary folder when that cannot be written. */
export async function createLogFolder(home: string, now: Date): Promise<LogFolder> {
  const name = `${now.toISOString().replace(/[-:]/g, "").replace(/\..*/, "Z")}-${process.pid}`;
  try {
    return { path: await makeFolder(join(home, "logs"), name) };
  } catch (error) {
    const path = await makeFolder(join(tmpdir(), `gradpool-${userInfo().username}`, "logs"), name).catch(
      (cause: unknown) => {
        const advice = "set GRADPOOL_HOME to a folder that can be written";
        throw new GradpoolError("permission_denied", `no place for logs: ${String(cause)}; ${advice}`, { cause });
      },
    );
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { path, fallback: `${home} cannot be written (${code}); logs go to ${path}` };
  }
}

async function makeFolder(logs: string, name: string): Promise<string> {
  const path = join(logs, name);
  await mkdir(path, { recursive: true });
  // A folder that exists need not be writable.
  const probe = await open(join(path, "stack.log"), "a");
  await probe.close();
  await removeOldest(logs);
  return path;
}

async function removeOldest(logs: string): Promise<void> {
  const stacks = (await readdir(logs)).filter((name) => /^\d{8}T\d{6}Z-\d+$/.test(name)).sort();
  for (const name of stacks.slice(0, -KEPT_STACKS)) {
    await rm(join(logs, name), { recursive: true, force: true });
  }
}

/** The last lines of a log for people: of each JSON line its message and error. */
export async function logTail(path: string): Promise<string[]> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch {
    return [];
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(TAIL_BYTES, size);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n").filter(Boolean);
    return lines.slice(-TAIL_LINES).map(readable);
  } finally {
    await file.close();
  }
}

function readable(line: string): string {
  try {
    const entry = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    if (typeof entry.msg !== "string") return line;
    return entry.err?.message && entry.err.message !== entry.msg ? `${entry.msg}: ${entry.err.message}` : entry.msg;
  } catch {
    return line;
  }
}

import { open, rename, rm, writeFile } from "node:fs/promises";
import { z } from "zod";
import { identityOf, processIdentity } from "./process-identity.js";

/** One file for each running process of a stack, from when it is ready until it ends. */
const pidFile = z.object({
  /** Such as "trainer-1". */
  name: z.string(),
  /** "host:port"; empty for a process that does not listen. */
  address: z.string(),
  /** "host:port" of its HTTP port; absent: it has none. */
  http_address: z.string().optional(),
  process: processIdentity,
  started_at: z.iso.datetime(),
});
export type PidFile = z.infer<typeof pidFile>;

/** Ours have a few hundred bytes: a longer file is not a pid file. */
const MAX_PID_FILE_BYTES = 16 * 1024;

/** Writes the file of a process that is ready now, atomically: a reader sees all of it or nothing. */
export async function writePidFile(
  path: string,
  who: { name: string; address: string; httpAddress?: string | undefined; pid: number },
): Promise<void> {
  const { name, address, httpAddress, pid } = who;
  const content: PidFile = {
    ...{ name, address, http_address: httpAddress },
    ...{ process: identityOf(pid), started_at: new Date().toISOString() },
  };
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, `${JSON.stringify(content)}\n`);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The content of a pid file; undefined if there is none, or the file is something else. */
export async function readPidFile(path: string): Promise<PidFile | undefined> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_PID_FILE_BYTES + 1), 0, MAX_PID_FILE_BYTES + 1, 0);
    if (bytesRead > MAX_PID_FILE_BYTES) return undefined;
    return pidFile.safeParse(JSON.parse(buffer.toString("utf8", 0, bytesRead))).data;
  } catch {
    return undefined;
  }
}

import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { z } from "zod";

/** A process of a machine, distinguished from a later one with the same id. As written into lock and pid files. */
export const processIdentity = z.object({
  pid: z.int().positive(),
  /** Ticks since boot at which the process started; absent where the system does not report it. */
  start_ticks: z.string().optional(),
  host: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentity>;

/** This process, or one of this machine by its id. */
export function identityOf(pid = process.pid): ProcessIdentity {
  const startTicks = processStat(pid)?.startTicks;
  return { pid, ...(startTicks ? { start_ticks: startTicks } : {}), host: hostname() };
}

/** Whether the process still runs. Processes of other machines cannot be checked: they are assumed to run. */
export function isAlive({ pid, start_ticks: startTicks, host }: ProcessIdentity): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
  }
  const found = processStat(pid);
  // A zombie has ended; a process with the same id that started at another time is another process.
  return found?.state !== "Z" && (!found || !startTicks || found.startTicks === startTicks);
}

/** Fields 3 and 22 of /proc/PID/stat, see proc(5); undefined where there is no /proc. */
function processStat(pid: number): { state: string | undefined; startTicks: string | undefined } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0], startTicks: fields[19] };
  } catch {
    return undefined;
  }
}

/** Ends a process at one chosen system call of one thread, with strace. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** Calls that change a file system. "?": not every machine has each of them. */
const MUTATING = [
  ...["mkdir", "mkdirat", "open", "openat", "write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync"],
  ...["ftruncate", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir"],
];

/** The `occurrence`-th call of `syscall` in a thread, from 1 on. */
export interface KillPoint {
  syscall: string;
  occurrence: number;
}

/** Why processes cannot be traced here; undefined if they can. */
export function whyNoTracing(): string | undefined {
  const { error, status, stderr } = spawnSync("strace", ["-qq", "-o", "/dev/null", "true"], { encoding: "utf8" });
  if (error) return "strace is not installed";
  return status === 0 ? undefined : `strace does not work here: ${stderr.trim()}`;
}

/** The thread of a Node process that does its file operations: the only one besides the first that writes anything. */
export function fileThread(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  const writing = threads.filter((thread) => {
    const io = readFileSync(`/proc/${pid}/task/${thread}/io`, "utf8");
    return thread !== pid && Number(/^syscw: (\d+)$/m.exec(io)?.[1]) > 0;
  });
  if (writing.length !== 1) throw new Error(`${writing.length} threads of ${pid} have done I/O instead of one`);
  return writing[0] as number;
}

/** Lets strace watch a thread; resolves once it does. */
async function attach(thread: number, args: readonly string[]): Promise<ChildProcess> {
  const tracer = spawn("strace", ["-p", String(thread), ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const lines = createInterface({ input: tracer.stderr });
  const said: string[] = [];
  for await (const line of lines) {
    said.push(line);
    if (line.includes("attached")) {
      tracer.stderr.resume();
      return tracer;
    }
  }
  throw new Error(`strace could not attach: ${said.join(" ")}`);
}

async function ended(tracer: ChildProcess): Promise<void> {
  if (tracer.exitCode === null && tracer.signalCode === null) await once(tracer, "exit");
}

/** All points of a thread's system calls that change something while `work` runs. */
export async function killPoints(thread: number, log: string, work: () => Promise<unknown>): Promise<KillPoint[]> {
  const trace = `trace=${MUTATING.map((name) => `?${name}`).join(",")}`;
  // -y: with the path of each file descriptor.
  const tracer = await attach(thread, ["-y", "-o", log, "-e", trace, "-e", "signal=none"]);
  await work();
  tracer.kill("SIGINT");
  await ended(tracer);
  const counts = new Map<string, number>();
  const points: KillPoint[] = [];
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const syscall = /^(\w+)\(/.exec(line)?.[1];
    if (syscall === undefined) continue;
    const occurrence = (counts.get(syscall) ?? 0) + 1;
    counts.set(syscall, occurrence);
    // Threads wake each other with such writes; and opening without creating changes nothing.
    const changes = syscall.startsWith("open") ? line.includes("O_CREAT") : !line.includes("eventfd");
    if (changes) points.push({ syscall, occurrence });
  }
  return points;
}

/** Runs `work` with the thread's process killed as it enters that call. */
export async function killedAt(thread: number, { syscall, occurrence }: KillPoint, work: () => Promise<unknown>) {
  const inject = `inject=${syscall}:signal=SIGKILL:when=${occurrence}`;
  const tracer = await attach(thread, ["-o", "/dev/null", "-e", `trace=${syscall}`, "-e", inject]);
  await work();
  tracer.kill("SIGINT");
  await ended(tracer);
}

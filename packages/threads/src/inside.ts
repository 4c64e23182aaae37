/** What the module of a GuardedThread imports: its port, what it was started with, and its pulse. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";

export interface ThreadStart {
  data: unknown;
  /** A message comes when the thread's code is loaded, and one in answer to each: its loop runs. */
  pulse: MessagePort;
}

const start = parentPort ? (workerData as Partial<ThreadStart> | null) : undefined;

start?.pulse?.on("message", () => start.pulse?.postMessage(0));
start?.pulse?.unref();
start?.pulse?.postMessage(0);

/** What the thread was started with. */
export const threadData = (): unknown => start?.data;

/** The port to the thread that started it. Errors: a plain one outside of such a thread. */
export function threadPort(): MessagePort {
  if (parentPort && start?.pulse) return parentPort;
  throw new Error("this module runs in a guarded thread only");
}

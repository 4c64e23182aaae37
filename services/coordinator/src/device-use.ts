/** How much of its time a trainer's device computes. */

/** The share is taken over this last stretch of time. */
export const DEVICE_USE_WINDOW_MS = 30_000;

interface Interval {
  startMs: number;
  endMs: number;
}

/** Times are monotonic, in milliseconds. */
export class DeviceUse {
  readonly #connectedMs: number;
  /** Micro-batches that end within the window, apart from one another, in the order of their end. */
  readonly #finished: Interval[] = [];
  /** The task named by heartbeats, and since when. */
  #current: { taskId: string; sinceMs: number } | undefined;

  constructor(nowMs: number) {
    this.#connectedMs = nowMs;
  }

  /** A heartbeat names the task that computes now; empty: none. */
  computing(taskId: string, nowMs: number): void {
    if (taskId === "") this.#current = undefined;
    else if (this.#current?.taskId !== taskId) this.#current = { taskId, sinceMs: nowMs };
  }

  /** A micro-batch that took `computeMs` has arrived. */
  finished(computeMs: number, nowMs: number): void {
    // A device computes one micro-batch at a time, so an apparent overlap is a late message.
    const before = this.#finished.at(-1)?.endMs ?? this.#connectedMs;
    const startMs = Math.max(before, nowMs - Math.max(0, computeMs));
    this.#finished.push({ startMs, endMs: nowMs });
    while ((this.#finished[0]?.endMs ?? nowMs) <= nowMs - DEVICE_USE_WINDOW_MS) this.#finished.shift();
    this.#current = undefined;
  }

  /** From 0 to 1, over the window or the time since it connected, whichever is shorter. */
  share(nowMs: number): number {
    const fromMs = Math.max(this.#connectedMs, nowMs - DEVICE_USE_WINDOW_MS);
    if (nowMs <= fromMs) return 0;
    const current = this.#current ? [{ startMs: this.#current.sinceMs, endMs: nowMs }] : [];
    const busyMs = [...this.#finished, ...current].reduce(
      (sum, { startMs, endMs }) => sum + Math.max(0, endMs - Math.max(startMs, fromMs)),
      0,
    );
    return Math.min(1, busyMs / (nowMs - fromMs));
  }
}

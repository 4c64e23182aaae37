const WINDOW_MS = 60_000;

/** How busy a device was in the last minute. */
export class BusyWindow {
  readonly #startedMs = performance.now();
  /** Oldest first; none ended before the window. */
  readonly #busy: { endedMs: number; busyMs: number }[] = [];

  /** It was busy for `busyMs` up to `endedMs`, which never goes back. */
  add(endedMs: number, busyMs: number): void {
    this.#busy.push({ endedMs, busyMs });
    this.#forget(endedMs);
  }

  /** From 0 to 1, of the last minute, or of the time since the start. */
  ratio(nowMs: number): number {
    this.#forget(nowMs);
    const beginMs = Math.max(nowMs - WINDOW_MS, this.#startedMs);
    const busyMs = this.#busy.reduce((sum, one) => sum + Math.min(one.busyMs, one.endedMs - beginMs), 0);
    return Math.min(1, Math.max(0, busyMs / Math.max(1, nowMs - beginMs)));
  }

  #forget(nowMs: number): void {
    const kept = this.#busy.findIndex(({ endedMs }) => endedMs > nowMs - WINDOW_MS);
    this.#busy.splice(0, kept === -1 ? this.#busy.length : kept);
  }
}

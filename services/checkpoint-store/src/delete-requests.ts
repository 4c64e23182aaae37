import { GradpoolError } from "@gradpool/errors";

/** Older requests are forgotten: a client repeats one within seconds. */
export const MAX_REMEMBERED_DELETES = 1000;
/** Longer than a UUID. */
const MAX_REQUEST_ID_LENGTH = 200;

/** Recent removals, so that a repeated request has no further effect (I4). */
export class DeleteRequests {
  readonly #recent = new Map<string, { path: string; done: Promise<void> }>();

  /**
   * Runs `work`, unless the same request has run or is running it: then it returns that result. One that
   * failed had no effect and may be tried again. Errors: `invalid_argument`; `already_exists` when the id
   * was used for another checkpoint.
   */
  once(requestId: string, path: string, work: () => Promise<void>): Promise<void> {
    if (requestId === "" || requestId.length > MAX_REQUEST_ID_LENGTH) {
      const what = requestId === "" ? "is empty" : `has more than ${MAX_REQUEST_ID_LENGTH} characters`;
      throw new GradpoolError("invalid_argument", `request_id ${what}; give a new UUID`);
    }
    const known = this.#recent.get(requestId);
    if (known?.path === path) return known.done;
    if (known) {
      const advice = "give each request its own id";
      throw new GradpoolError("already_exists", `request_id ${requestId} was used to delete ${known.path}; ${advice}`);
    }
    const done = work();
    this.#recent.set(requestId, { path, done });
    done.catch(() => this.#recent.delete(requestId));
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= MAX_REMEMBERED_DELETES) break;
      this.#recent.delete(oldest);
    }
    return done;
  }
}

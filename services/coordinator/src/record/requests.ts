import { createHash } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import type { Fact } from "../facts.js";
import { MAX_REQUESTS, type Recorded } from "../store/run-store.js";

/** What was asked for, for comparison with what is asked under the same request id. */
export function contentOf(rpc: string, message: Uint8Array): string {
  return createHash("sha256").update(`${rpc}\n`).update(message).digest("hex");
}

/** The fact that a request took effect; `subject`: the run or trainer it is about. */
export type Answered = (subject: string) => Fact;

/** A request that is recorded. */
export type FindRequest = (requestId: string) => Promise<Recorded["requests"][number] | undefined>;

/** I4: the same request id has one effect and one answer; with other content it is refused. */
export class Requests {
  /** `subject`: the run or trainer that the request is about; settles when its effect is recorded. */
  readonly #known = new Map<string, { content: string; subject: Promise<string> }>();
  readonly #find: FindRequest | undefined;

  /** `find`: looks for what other coordinators have answered; undefined: there are no others. */
  constructor(recorded: Recorded["requests"], find?: FindRequest) {
    this.#find = find;
    for (const { requestId, content, subject } of recorded) {
      this.#known.set(requestId, { content, subject: Promise.resolve(subject) });
    }
  }

  /**
   * The subject of the request: that of `work`, which is done once; the fact that it is given has to be recorded along
   * with its effect. When it fails nothing is remembered. Errors: `already_exists` for other content,
   * `invalid_argument` for an empty id, and those of `work`.
   */
  async once(requestId: string, content: string, work: (answered: Answered) => Promise<string>): Promise<string> {
    if (!requestId) throw new GradpoolError("invalid_argument", "request_id is empty; give a new UUID");
    // SQLite would end the text there.
    if (requestId.includes("\0")) {
      throw new GradpoolError("invalid_argument", "request_id contains the character U+0000; give a new UUID");
    }
    const known = this.#known.get(requestId);
    if (known) requireSame(requestId, content, known.content);
    if (known) return known.subject;
    const answered: Answered = (about) => ({ type: "request-answered", requestId, content, subject: about });
    const find = this.#find;
    const subject = find ? onceOfAll(find, requestId, content, () => work(answered)) : work(answered);
    this.#known.set(requestId, { content, subject });
    try {
      return await subject;
    } catch (error) {
      this.#known.delete(requestId);
      throw error;
    } finally {
      this.#forgetOldest();
    }
  }

  #forgetOldest(): void {
    for (const requestId of this.#known.keys()) {
      if (this.#known.size <= MAX_REQUESTS) return;
      this.#known.delete(requestId);
    }
  }
}

/** Looks before `work` and, when that fails, after it: of two coordinators that have the same request at once, one records it. */
async function onceOfAll(
  find: FindRequest,
  requestId: string,
  content: string,
  work: () => Promise<string>,
): Promise<string> {
  const found = async () => {
    const request = await find(requestId);
    if (request) requireSame(requestId, content, request.content);
    return request?.subject;
  };
  const before = await found();
  if (before !== undefined) return before;
  try {
    return await work();
  } catch (error) {
    const meanwhile = await found();
    if (meanwhile === undefined) throw error;
    return meanwhile;
  }
}

function requireSame(requestId: string, content: string, known: string): void {
  if (known === content) return;
  const message = `request_id ${requestId} was used for a different request; choose a new one`;
  throw new GradpoolError("already_exists", message);
}

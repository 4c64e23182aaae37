/**
 * What another user of the machine can do to a pool: calls, requests and looks at files, made by a process of that user.
 * Started by `Intruder`; as this user itself where the tests do not run as root.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { GradpoolError } from "@gradpool/errors";
import * as contracts from "@gradpool/rpc";

/** One thing to try. `service`: such as "RunService"; `request`: the message, an empty one by default. */
export type Attempt =
  | { kind: "call"; service: string; method: string; address: string; request?: object; key?: string }
  | { kind: "get"; url: string; headers?: Record<string, string> }
  | { kind: "read"; path: string };

/** "ok", the code of the error, or the HTTP status; and what was read. */
export interface Outcome {
  code: string;
  text: string;
}

/** A user without rights, as Debian and others know it. */
const NOBODY = 65_534;

export class Intruder implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Whether it can be another user than this one. */
  static get isOther(): boolean {
    return process.getuid?.() === 0;
  }

  static start(): Intruder {
    const other = Intruder.isOther ? { uid: NOBODY, gid: NOBODY } : {};
    const env = { PATH: process.env["PATH"], HOME: "/nonexistent" };
    return new Intruder(
      fork(fileURLToPath(import.meta.url), ["intrude"], { ...other, env, cwd: "/", serialization: "advanced" }),
    );
  }

  async attempt(attempt: Attempt): Promise<Outcome> {
    const answered = once(this.#child, "message") as Promise<[Outcome]>;
    this.#child.send(attempt);
    return (await answered)[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}

type AnyCall = (input: unknown) => Promise<unknown> | AsyncIterable<unknown>;

async function carryOut(attempt: Attempt): Promise<Outcome> {
  if (attempt.kind === "read") return { code: "ok", text: await readFile(attempt.path, "latin1") };
  if (attempt.kind === "get") {
    const response = await fetch(attempt.url, { headers: attempt.headers ?? {}, redirect: "manual" });
    return { code: String(response.status), text: await response.text() };
  }
  const definition = contracts[`${attempt.service}Service` as keyof typeof contracts] as contracts.Definition;
  const { requestStream, requestDeserialize } = definition[attempt.method] ?? {};
  const { key, address } = attempt;
  const keyed = contracts.withKey(() => (key === undefined ? undefined : new contracts.PoolKey(key, "the test")));
  using client = contracts.createClient(definition, address, [keyed]);
  const request = { ...(requestDeserialize?.(Buffer.alloc(0)) as object), ...attempt.request };
  const requests = async function* () {
    yield request;
  };
  const answer = (client[attempt.method] as unknown as AnyCall)(requestStream ? requests() : request);
  const responses: unknown[] = [];
  if (Symbol.asyncIterator in answer) for await (const response of answer) responses.push(response);
  else responses.push(await answer);
  return { code: "ok", text: JSON.stringify(responses) };
}

function failed(reason: unknown): Outcome {
  const system = reason instanceof Error && "code" in reason ? reason.code : undefined;
  const { code, message } = GradpoolError.from(reason);
  return { code: String(system ?? code), text: message };
}

if (process.argv[2] === "intrude") {
  process.on("message", (attempt: Attempt) => {
    void carryOut(attempt)
      .catch(failed)
      .then((outcome) => process.send?.(outcome));
  });
}

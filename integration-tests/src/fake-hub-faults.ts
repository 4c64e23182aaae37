/** What can go wrong between a hub and its client, switched on by tests. */

/** A fault of one kind, and the requests that it affects. */
export type Fault = FaultScope & FaultKind;

interface FaultScope {
  /** Matched against the request's path and query. */
  on: RegExp;
  /** Which server fails; both by default. */
  at?: "hub" | "storage";
  /** How many requests it affects; all by default. */
  times?: number;
}

export type FaultKind =
  /** Answered with this instead of what was asked for. */
  | { kind: "status"; status: number; headers?: Record<string, string> }
  /** Never answered. */
  | { kind: "silence" }
  /** The hub gives the file a different hash from the one it listed. */
  | { kind: "etag"; etag: string }
  /** Whole files only. */
  | { kind: "no-range" }
  /** The connection breaks after this many bytes of the body, once `when` has resolved. */
  | { kind: "cut"; afterBytes: number; when?: Promise<void> }
  /** After this many bytes nothing more is sent until `until` resolves. */
  | { kind: "hold"; afterBytes: number; until: Promise<void> }
  /** The answer ends early, as if it were complete. */
  | { kind: "truncate"; afterBytes: number }
  /** One byte of the file is changed. */
  | { kind: "damage"; atByte: number }
  /** A few bytes at a time. */
  | { kind: "drip"; bytes: number; everyMs: number };

type Kind = FaultKind["kind"];

/** The faults that are switched on. */
export class Faults {
  #faults: { fault: Fault; left: number }[] = [];

  add(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Infinity });
  }

  clear(): void {
    this.#faults = [];
  }

  /** The first fault of these kinds that affects the request; counts it. */
  meet<K extends Kind>(at: "hub" | "storage", url: string, ...kinds: K[]): (Fault & { kind: K }) | undefined {
    for (const one of this.#faults) {
      const { fault } = one;
      if (one.left === 0 || !isOneOf(fault, kinds) || (fault.at ?? at) !== at || !fault.on.test(url)) continue;
      one.left--;
      return fault;
    }
    return undefined;
  }
}

function isOneOf<K extends Kind>(fault: Fault, kinds: K[]): fault is Fault & { kind: K } {
  return kinds.some((kind) => kind === fault.kind);
}

/** Between the owner of a job and the thread that does it. */
import type { PlainError } from "./plain-error.js";

export type ToThread =
  /** `ahead`: values that may be sent before "more" is asked for. */
  | { type: "job"; input: unknown; ahead: number }
  /** One more value may be sent. */
  | { type: "more" }
  | { type: "stop" }
  | { type: "returned"; id: number; answer: { value: unknown } | { error: PlainError } };

export type FromThread =
  | { type: "value"; value: unknown }
  | { type: "working"; on: string }
  | { type: "call"; id: number; request: unknown }
  /** The last message of a job. */
  | { type: "done" }
  | { type: "failed"; error: PlainError };

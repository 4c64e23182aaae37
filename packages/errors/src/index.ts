export { parseJson, parsePythonJson } from "./json.js";

/** What kinds of failures there are; each maps to one gRPC status. */
export const ERROR_CODES = [
  "invalid_argument",
  "not_found",
  "already_exists",
  "unauthenticated",
  "permission_denied",
  "failed_precondition",
  "resource_exhausted",
  "aborted",
  "cancelled",
  "unavailable",
  "deadline_exceeded",
  "unimplemented",
  "data_loss",
  "internal",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * An expected failure. The message is one line for the user: what is wrong, and
 * what to do about it. Broken invariants throw plain errors instead and crash.
 */
export class GradpoolError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "GradpoolError";
    this.code = code;
  }

  /** Any thrown value as a GradpoolError; what is not one already becomes `internal`. */
  static from(reason: unknown): GradpoolError {
    if (reason instanceof GradpoolError) return reason;
    if (isAbort(reason)) return new GradpoolError("cancelled", "cancelled", { cause: reason });
    const shortage = tooManyOpenFiles(reason);
    if (shortage) return shortage;
    const message = reason instanceof Error ? reason.message : String(reason);
    return new GradpoolError("internal", message, { cause: reason });
  }
}

const TOO_MANY_OPEN_FILES = "too many open files; raise the limit (ulimit -n)";

/**
 * The failure of a process, or a system, that can open no further file: it passes, and is nothing wrong with the file.
 * Undefined for other failures. `path`: as the user knows it.
 */
export function tooManyOpenFiles(reason: unknown, path?: string): GradpoolError | undefined {
  const { code, path: file } = (reason ?? {}) as { code?: unknown; path?: unknown };
  if (code !== "EMFILE" && code !== "ENFILE") return undefined;
  const what = path ?? (typeof file === "string" ? file : "a file");
  return new GradpoolError("unavailable", `cannot open ${what}: ${TOO_MANY_OPEN_FILES}`, { cause: reason });
}

/** Whether it is that failure, also of another thread or process. */
export const isTooManyOpenFiles = (error: unknown): boolean =>
  error instanceof GradpoolError && error.code === "unavailable" && error.message.endsWith(TOO_MANY_OPEN_FILES);

function isAbort(reason: unknown): boolean {
  return reason instanceof Error && (reason.name === "AbortError" || reason.name === "TimeoutError");
}

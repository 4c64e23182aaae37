/** Errors as messages between threads. */
import { GradpoolError, type ErrorCode } from "@gradpool/errors";

export interface PlainError {
  code: ErrorCode;
  message: string;
  /** Of an internal error, for the log. */
  stack?: string | undefined;
}

export function toPlain(reason: unknown): PlainError {
  const { code, message } = GradpoolError.from(reason);
  return { code, message, stack: code === "internal" && reason instanceof Error ? reason.stack : undefined };
}

export function fromPlain({ code, message, stack }: PlainError): Error {
  if (code !== "internal") return new GradpoolError(code, message);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

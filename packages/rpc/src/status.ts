import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { watchEnd, type Interceptor } from "./interceptor.js";

const STATUS_OF: Record<ErrorCode, status> = {
  invalid_argument: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  unauthenticated: status.UNAUTHENTICATED,
  permission_denied: status.PERMISSION_DENIED,
  failed_precondition: status.FAILED_PRECONDITION,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  aborted: status.ABORTED,
  cancelled: status.CANCELLED,
  unavailable: status.UNAVAILABLE,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  unimplemented: status.UNIMPLEMENTED,
  data_loss: status.DATA_LOSS,
  internal: status.INTERNAL,
};

const CODE_OF = new Map(Object.entries(STATUS_OF).map(([code, value]) => [value, code as ErrorCode]));

/** A status travels in headers: one of more than 64 kB would never arrive. */
const MAX_MESSAGE_BYTES = 2_048;
const CUT = " […]";

/**
 * Ends every failed call of a server with a gRPC status. `onInternal` is called with errors that are the server's own
 * fault.
 */
export function errorsToStatus(onInternal: (error: unknown, method: string) => void): Interceptor {
  return (next) => (call) =>
    watchEnd(
      () => next(call),
      (failure) => failure && toStatus(failure.error, (error) => onInternal(error, call.path)),
    );
}

/** Ends every failed call of a client with a GradpoolError. */
export const statusToErrors: Interceptor = (next) => (call) =>
  watchEnd(
    () => next(call),
    (failure) => failure && fromStatus(failure.error),
  );

/** Unexpected errors are reported to `onInternal` and reach the client without their inner text. */
function toStatus(reason: unknown, onInternal: (error: unknown) => void): Error {
  const error = GradpoolError.from(reason);
  const isInternal = error.code === "internal";
  if (isInternal) onInternal(reason);
  const details = isInternal ? "internal error; the service's log has the details" : cut(error.message);
  return Object.assign(new Error(details), { code: STATUS_OF[error.code], details, metadata: new Metadata() });
}

/** At most MAX_MESSAGE_BYTES of UTF-8, of whole characters. */
function cut(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.byteLength <= MAX_MESSAGE_BYTES) return message;
  let end = MAX_MESSAGE_BYTES - Buffer.byteLength(CUT);
  // Bytes 10xxxxxx continue a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end) + CUT;
}

/** grpc-js's message when nothing listens at an address; the useful part is the system's own error. */
const NO_CONNECTION = /^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: .*$/s;

/** The GradpoolError for a failed call. */
export function fromStatus(reason: unknown): GradpoolError {
  if (isServiceError(reason)) {
    const code = CODE_OF.get(reason.code) ?? "internal";
    const details = reason.details.replace(NO_CONNECTION, "$1");
    return new GradpoolError(code, details || reason.message, { cause: reason });
  }
  return GradpoolError.from(reason);
}

/** grpc-js's messages when a connection breaks while a call is in progress. */
const BROKEN = /^Connection dropped$|ECONNRESET|EPIPE|Received RST_STREAM|socket hang up/;

/** Whether a call failed because its connection broke while it was in progress, as when the service's process dies. */
export function isBroken(error: unknown): boolean {
  const reason = error instanceof GradpoolError ? error.cause : error;
  return isServiceError(reason) && BROKEN.test(reason.details);
}

function isServiceError(reason: unknown): reason is ServiceError {
  return reason instanceof Error && "code" in reason && typeof reason.code === "number" && "details" in reason;
}

import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";

const STATUS_OF: Record<ErrorCode, status> = {
  invalid_argument: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
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

/**
 * What goes over the wire for a thrown value. Unexpected errors are reported by `onInternal` and
 * reach the client without their inner text.
 */
export function toStatus(reason: unknown, onInternal: (error: unknown) => void): Partial<ServiceError> {
  const error = GradpoolError.from(reason);
  if (error.code === "internal") {
    onInternal(reason);
    const details = "internal error; the service's log has the details";
    return { code: status.INTERNAL, details, metadata: new Metadata() };
  }
  return { code: STATUS_OF[error.code], details: error.message, metadata: new Metadata() };
}

/** How grpc-js words that nobody listens there; what people want to know of it is the system's own error. */
const NO_CONNECTION = /^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: .*$/s;

/** The GradpoolError behind a failed call. */
export function fromStatus(reason: unknown): GradpoolError {
  if (isServiceError(reason)) {
    const code = CODE_OF.get(reason.code) ?? "internal";
    const details = reason.details.replace(NO_CONNECTION, "$1");
    return new GradpoolError(code, details || reason.message, { cause: reason });
  }
  return GradpoolError.from(reason);
}

function isServiceError(reason: unknown): reason is ServiceError {
  return reason instanceof Error && "code" in reason && typeof reason.code === "number" && "details" in reason;
}

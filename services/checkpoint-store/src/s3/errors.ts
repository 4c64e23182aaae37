import { GradpoolError, type ErrorCode } from "@gradpool/errors";

/** The name S3 or its client gives a failure, such as "NoSuchKey"; undefined for other errors. */
function nameOf(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined;
}

function httpStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined;
  return (error.$metadata as { httpStatusCode?: number } | undefined)?.httpStatusCode;
}

/** There is no such object. HEAD's response has no body, and so another name. */
export function isNoSuchKey(error: unknown): boolean {
  return nameOf(error) === "NoSuchKey" || nameOf(error) === "NotFound";
}

/** The upload in parts was ended, by whomever. */
export function isNoSuchUpload(error: unknown): boolean {
  return nameOf(error) === "NoSuchUpload";
}

/** The store lacks what a header asks for. */
export function isNotImplemented(error: unknown): boolean {
  return nameOf(error) === "NotImplemented";
}

/** If-None-Match or If-Match did not hold, or two such requests met. */
export function isConditionFailed(error: unknown): boolean {
  return nameOf(error) === "PreconditionFailed" || nameOf(error) === "ConditionalRequestConflict";
}

const CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/** Messages by S3's name of the failure. */
const KNOWN: Record<string, [code: ErrorCode, what: string]> = {
  NoSuchBucket: ["not_found", "is in a bucket that does not exist; create the bucket, or choose another --output_dir"],
  InvalidAccessKeyId: [
    "permission_denied",
    `cannot be used: the object store does not know the access key; ${CREDENTIALS}`,
  ],
  SignatureDoesNotMatch: ["permission_denied", `cannot be used: the secret key is wrong; ${CREDENTIALS}`],
  ExpiredToken: ["permission_denied", "cannot be used: the session token has expired; renew AWS_SESSION_TOKEN"],
  CredentialsProviderError: [
    "permission_denied",
    "cannot be used without credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
  ],
  PermanentRedirect: ["failed_precondition", "is in another region; set AWS_REGION to the bucket's"],
  AuthorizationHeaderMalformed: ["failed_precondition", "is in another region; set AWS_REGION to the bucket's"],
  NotImplemented: ["failed_precondition", "is in an object store that lacks a needed operation; choose another one"],
  NoSuchUpload: ["unavailable", "was cleaned up by another store; try again"],
  QuotaExceeded: ["resource_exhausted", "has no space left; free some space or choose another --output_dir"],
  InsufficientStorage: ["resource_exhausted", "has no space left; free some space or choose another --output_dir"],
};

/** System errors of an endpoint that is unavailable, or whose connection broke. */
const AWAY = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ECONNABORTED)$/;

/** What is wrong with a store's certificate, by Node's code. */
const CERTIFICATE: Record<string, string> = {
  ...Object.fromEntries(
    [
      "SELF_SIGNED_CERT_IN_CHAIN",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ].map((code) => [code, "is signed by an authority that is not trusted here; set AWS_CA_BUNDLE to its PEM file"]),
  ),
  CERT_HAS_EXPIRED: "has expired; renew it",
  CERT_NOT_YET_VALID: "is not valid yet; check the clocks",
  ERR_TLS_CERT_ALTNAME_INVALID: "is for another host name; check AWS_ENDPOINT_URL_S3",
};

const MAX_REASON_LENGTH = 200;

/** What the store itself says, in one line of untrusted text; empty: nothing. */
function saidBy(error: unknown): string {
  const text = error instanceof Error ? error.message.replace(/[\s\p{Cc}]+/gu, " ").trim() : "";
  const isSaid = text !== "" && text !== nameOf(error) && text !== "UnknownError" && httpStatusOf(error) !== undefined;
  return isSaid ? `, it says "${text.slice(0, MAX_REASON_LENGTH)}"` : "";
}

/** What a failed request about `url` means to the person who chose the address. */
export function explainS3(error: unknown, url: string): unknown {
  if (error instanceof GradpoolError || nameOf(error) === "AbortError") return error;
  const failure = (code: ErrorCode, what: string) =>
    new GradpoolError(code, `output_dir ${url} ${what}`, { cause: error });
  const name = nameOf(error) ?? "";
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
  if (known) return failure(...known);
  const status = httpStatusOf(error) ?? 0;
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  const certificate = Object.hasOwn(CERTIFICATE, code) ? CERTIFICATE[code] : undefined;
  if (certificate) return failure("failed_precondition", `cannot be used: the store's certificate ${certificate}`);
  const reason = code || (status > 0 ? `${name}, status ${status}` : name);
  const said = saidBy(error);
  // The response to a HEAD gives no other reason.
  if (status === 403 || name === "AccessDenied") {
    return failure(
      "permission_denied",
      `may not be used with these credentials${said}; grant them access, or use others`,
    );
  }
  if (status === 507) return failure("resource_exhausted", "has no space left; free some space");
  const isAway = status >= 500 || status === 429 || name === "TimeoutError" || name === "SlowDown" || AWAY.test(code);
  if (isAway)
    return failure("unavailable", `cannot be reached (${reason})${said}; check AWS_ENDPOINT_URL_S3, or try again`);
  if (status > 0)
    return failure("failed_precondition", `was refused by the object store (${reason})${said}; see its log`);
  return error;
}

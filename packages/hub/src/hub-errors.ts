/** What the hub's refusals mean to the user. */
import { GradpoolError } from "@gradpool/errors";
import { repoLabel, type Repo } from "./repo-name.js";

/** What a request is about. */
export interface Subject {
  repo: Repo;
  /** The file, where it is about one. */
  path?: string;
}

/** A failure that another attempt may fix. */
export class TransientFailure extends Error {
  /** The error when no attempt did. */
  readonly outcome: GradpoolError;
  /** How long the hub asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(outcome: GradpoolError, retryAfterMs?: number) {
    super(outcome.message, { cause: outcome });
    this.outcome = outcome;
    this.retryAfterMs = retryAfterMs;
  }
}

export const subjectLabel = ({ repo, path }: Subject): string =>
  path === undefined ? repoLabel(repo) : `${path} of ${repoLabel(repo)}`;

interface Refusal {
  status: number;
  headers: Headers;
  /** Address of the hub. */
  endpoint: string;
  /** Who answered: the hub, or a host that it redirected to. */
  host: string;
  redirected: boolean;
  hasToken: boolean;
}

/** The failure that an HTTP error status means. */
export function refusalOf(subject: Subject, refusal: Refusal): GradpoolError | TransientFailure {
  const { status, headers, host } = refusal;
  const label = subjectLabel(subject);
  if (status === 429) {
    const advice = refusal.hasToken ? "try again later" : "try again later, or set HF_TOKEN for a higher limit";
    const outcome = new GradpoolError(
      "resource_exhausted",
      `${host} limits requests (HTTP 429) for ${label}; ${advice}`,
    );
    return new TransientFailure(outcome, retryAfterOf(headers));
  }
  if (status >= 500 || status === 408) {
    const outcome = new GradpoolError("unavailable", `${host} fails (HTTP ${status}) on ${label}; try again later`);
    return new TransientFailure(outcome, retryAfterOf(headers));
  }
  if (status === 401 || status === 403) return deniedError(subject, refusal);
  if (status === 404) return missingError(subject, refusal);
  if (status === 416) return changedError(subject);
  return new GradpoolError("unavailable", `${host} answers HTTP ${status} for ${label}; check HF_ENDPOINT`);
}

function deniedError({ repo }: Subject, refusal: Refusal): GradpoolError {
  const { status, headers, endpoint, host, hasToken } = refusal;
  const code = headers.get("x-error-code");
  const page = `${endpoint}/${repo.type === "dataset" ? "datasets/" : ""}${repo.id}`;
  if (code === "GatedRepo") {
    const token = hasToken ? "with the account of HF_TOKEN" : "and set HF_TOKEN";
    return new GradpoolError("permission_denied", `${repo.id} is gated; accept its terms at ${page} ${token}`);
  }
  if (headers.get("x-error-message") === "Access to this resource is disabled.") {
    return new GradpoolError("permission_denied", `${repo.id} has been disabled on the hub; use another ${repo.type}`);
  }
  if (refusal.redirected) {
    const message = `${host} denies the files of ${repo.id} (HTTP ${status}); try again, or check the network's proxy`;
    return new GradpoolError("permission_denied", message);
  }
  if (headers.get("x-error-message")?.startsWith("Invalid credentials") === true) {
    const message = `${host} does not accept the token in HF_TOKEN; copy it again, or create a new one`;
    return new GradpoolError("permission_denied", message);
  }
  if (hasToken) {
    const message = `HF_TOKEN may not read ${repo.id} (HTTP ${status}); check the name and the token's permissions`;
    return new GradpoolError("permission_denied", message);
  }
  // Without access, the hub answers this for private repositories and for names that do not exist.
  const message = `${repo.id} does not exist on ${endpoint} or is private; check the name, or set HF_TOKEN`;
  return new GradpoolError(status === 401 ? "not_found" : "permission_denied", message);
}

function missingError({ repo, path }: Subject, { headers, endpoint, hasToken }: Refusal): GradpoolError {
  const code = headers.get("x-error-code");
  if (code === "RevisionNotFound") {
    const message = `${repo.id} has no branch, tag or commit ${repo.revision}; check what follows the @`;
    return new GradpoolError("not_found", message);
  }
  if (path !== undefined && code !== "RepoNotFound") {
    return new GradpoolError("not_found", `${repoLabel(repo)} has no file ${path}; check its name and revision`);
  }
  const secret = hasToken ? "or the permissions of HF_TOKEN" : "or set HF_TOKEN if it is private";
  return new GradpoolError("not_found", `${endpoint} has no ${repo.type} ${repo.id}; check the name, ${secret}`);
}

/** Retry-After: seconds, or a date. */
function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** The content is not what was listed. */
export function changedError(subject: Subject): GradpoolError {
  const message = `${subjectLabel(subject)} changed since the hub listed it; start again`;
  return new GradpoolError("failed_precondition", message);
}

/** No answer, or none to its end. */
export function brokenError(subject: Subject, host: string, reason: unknown): TransientFailure {
  const advice = "check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use only the cache";
  const message = `${host} cannot be reached for ${subjectLabel(subject)} (${reasonOf(reason)}); ${advice}`;
  return new TransientFailure(new GradpoolError("unavailable", message, { cause: reason }));
}

/** fetch hides the reason in its error's cause. */
function reasonOf(reason: unknown): string {
  if (!(reason instanceof Error)) return String(reason);
  if (reason.cause instanceof Error) return reasonOf(reason.cause);
  return "code" in reason ? String(reason.code) : reason.message;
}

/** Requests to the coordinator that served this page. */

/** A failed request. `code` as gRPC names it; "unavailable" also when nothing answers. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Attempts of a write while nothing answers: a coordinator that restarts is back within seconds. */
const ATTEMPTS = 10;
const PAUSE_MS = 500;

/** What a page says whose cookie is missing or an earlier pool's. */
export const NO_KEY = "the pool asks for its key: open the link that gradpool up or gradpool train prints";

const AWAY = "the coordinator does not answer; retrying";

/** Errors: ApiError. */
export const get = <T>(path: string, signal: AbortSignal): Promise<T> => send<T>(path, { signal });

/** A write, sent until it is answered: under one request id it has one effect, however often it arrives. */
export async function post<T>(path: string): Promise<T> {
  const body = JSON.stringify({ requestId: requestId() });
  for (let attempt = 1; ; attempt++) {
    try {
      return await send<T>(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "unavailable" || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

async function send<T>(path: string, init: RequestInit): Promise<T> {
  const response = await fetch(path, { ...init, credentials: "same-origin" }).catch((cause: unknown) => {
    if (init.signal?.aborted) throw cause;
    throw new ApiError("unavailable", AWAY);
  });
  if (response.status === 401) throw new ApiError("unauthenticated", NO_KEY);
  const answer = (await response.json().catch(() => {
    throw new ApiError("unavailable", AWAY);
  })) as T & { code?: string; message?: string };
  if (response.ok) return answer;
  throw new ApiError(answer.code ?? "internal", answer.message ?? `the coordinator answered ${response.status}`);
}

/** A UUID, version 4. crypto.randomUUID is missing on plain HTTP. */
function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

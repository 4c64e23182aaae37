/**
 * Requests to the hub: who may see the token, how redirects are followed, how long an answer may take. The token
 * goes to the endpoint's own origin and nowhere else.
 */
import { GradpoolError } from "@gradpool/errors";
import type { z } from "zod";
import { brokenError, refusalOf, subjectLabel, TransientFailure, type Subject } from "./hub-errors.js";
import { DRAINED_BYTES, PAGE_BYTES, REDIRECTS, SLOWEST_BYTES_PER_SECOND } from "./limits.js";
import { fetchThrough } from "./proxy.js";
import { Retries } from "./retries.js";
import { DEFAULT_TIMING, type HubSettings, type HubTiming } from "./settings.js";

/** A successful answer whose body has not been read. */
export interface HubResponse {
  status: number;
  headers: Headers;
  /** What the hub itself calls the content: from before a redirect. */
  etag: string | undefined;
  /** The body; may be taken once. Breaking off ends the connection. Errors: TransientFailure. */
  bytes: AsyncGenerator<Uint8Array, void, undefined>;
  /** Ends the connection of an unread body. */
  discard(): void;
}

type Exchange = Pick<HubResponse, "bytes" | "discard"> & { response: Response };

export class HubClient {
  readonly endpoint: string;
  readonly timing: HubTiming;
  readonly #token: string | undefined;
  readonly #fetch: typeof fetch;

  constructor({ endpoint, token, proxy, timing }: HubSettings) {
    this.endpoint = endpoint;
    this.timing = { ...DEFAULT_TIMING, ...timing };
    this.#token = token;
    this.#fetch = fetchThrough(proxy);
  }

  retries(signal: AbortSignal): Retries {
    return new Retries(this.timing.backoffMs, signal);
  }

  /**
   * GETs JSON, with retries. `nextQuery` is the query of the next page, if there is one. Errors: those of
   * refusalOf; `unavailable` when the hub cannot be reached; `data_loss` for an answer of another shape.
   */
  async json<S extends z.ZodType>(
    schema: S,
    path: string,
    subject: Subject,
    signal: AbortSignal,
  ): Promise<{ value: z.infer<S>; nextQuery?: string }> {
    const retries = this.retries(signal);
    for (;;) {
      try {
        const response = await this.open(this.endpoint + path, { accept: "application/json" }, subject, signal);
        const body = await collect(response.bytes, PAGE_BYTES, subject);
        const nextQuery = nextQueryOf(response.headers);
        return { value: parse(schema, body, subject), ...(nextQuery === undefined ? {} : { nextQuery }) };
      } catch (reason) {
        await retries.after(reason);
      }
    }
  }

  /** GETs an address of the hub: one attempt, redirects followed. Errors: those of refusalOf, TransientFailure. */
  async open(
    address: string,
    headers: Record<string, string>,
    subject: Subject,
    signal: AbortSignal,
  ): Promise<HubResponse> {
    let url = new URL(address);
    let [linkedEtag, etag]: (string | undefined)[] = [];
    for (let redirects = 0; ; redirects++) {
      const atHome = url.origin === new URL(this.endpoint).origin;
      const { response, bytes, discard } = await this.#exchange(url, headers, atHome, subject, signal);
      // Storage has names of its own for the content; the hub's is its hash.
      if (atHome) {
        linkedEtag ??= etagIn(response.headers, "x-linked-etag");
        etag = linkedEtag ?? etagIn(response.headers, "etag");
      }
      const location = response.headers.get("location");
      if (response.status >= 300 && response.status < 400 && response.status !== 304 && location !== null) {
        await drain(bytes);
        if (redirects === REDIRECTS) throw misled(subject, url, "redirects endlessly");
        url = redirected(url, location, subject);
        continue;
      }
      if (response.ok) return { status: response.status, headers: response.headers, etag, bytes, discard };
      await drain(bytes);
      throw refusalOf(subject, {
        status: response.status,
        headers: response.headers,
        endpoint: this.endpoint,
        host: url.host,
        redirected: !atHome,
        hasToken: this.#token !== undefined,
      });
    }
  }

  async #exchange(
    url: URL,
    headers: Record<string, string>,
    atHome: boolean,
    subject: Subject,
    signal: AbortSignal,
  ): Promise<Exchange> {
    signal.throwIfAborted();
    // One controller a request: many requests may share the caller's signal, which must not collect listeners.
    const controller = new AbortController();
    const abort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", abort);
    const timer = setTimeout(() => controller.abort(new Error("no answer in time")), this.timing.responseMs);
    const all: Record<string, string> = { "user-agent": "gradpool", ...headers };
    if (atHome && this.#token !== undefined) all["authorization"] = `Bearer ${this.#token}`;
    try {
      const response = await this.#fetch(url, { headers: all, redirect: "manual", signal: controller.signal });
      const discard = () => {
        signal.removeEventListener("abort", abort);
        controller.abort();
      };
      return { response, bytes: readBody(response, url.host, this.timing.stallMs, subject, signal, discard), discard };
    } catch (reason) {
      signal.removeEventListener("abort", abort);
      signal.throwIfAborted();
      throw brokenError(subject, url.host, controller.signal.aborted ? controller.signal.reason : reason);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** X-Linked-Etag is the content's where the answer itself is a redirect or a pointer to it. */
function etagIn(headers: Headers, name: "x-linked-etag" | "etag"): string | undefined {
  return headers.get(name)?.replace(/^W\//, "").replace(/^"|"$/g, "");
}

function redirected(from: URL, location: string, subject: Subject): URL {
  if (!URL.canParse(location, from.href)) throw misled(subject, from, "redirects to an invalid address");
  const to = new URL(location, from.href);
  if (!/^https?:$/.test(to.protocol) || (from.protocol === "https:" && to.protocol === "http:")) {
    throw misled(subject, from, `redirects to an unprotected address (${to.protocol})`);
  }
  return to;
}

function misled(subject: Subject, { host }: URL, what: string): GradpoolError {
  return new GradpoolError("unavailable", `${host} ${what} for ${subjectLabel(subject)}; check HF_ENDPOINT`);
}

/** Only the query is taken: a mirror's links may lead to the hub that it mirrors. */
function nextQueryOf(headers: Headers): string | undefined {
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get("link") ?? "")?.[1];
  return link !== undefined && URL.canParse(link, "http://hub") ? new URL(link, "http://hub").search : undefined;
}

/**
 * The body, where a connection that transfers too little over `stallMs` of waiting is broken off. Waiting is what
 * counts: a consumer that takes its time does not make the sender slow.
 */
async function* readBody(
  response: Response,
  host: string,
  stallMs: number,
  subject: Subject,
  signal: AbortSignal,
  onEnd: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  let waitedMs = 0;
  let bytes = 0;
  try {
    let pending = reader?.read();
    while (reader !== undefined && pending !== undefined) {
      const begunMs = performance.now();
      const result = await within(pending, stallMs - waitedMs);
      waitedMs += performance.now() - begunMs;
      if (result?.done) return;
      if (result !== undefined) {
        bytes += result.value.byteLength;
        yield result.value;
      }
      if (waitedMs >= stallMs) {
        if (bytes < (stallMs / 1000) * SLOWEST_BYTES_PER_SECOND) throw new Error("it stopped sending");
        waitedMs = 0;
        bytes = 0;
      }
      // Last: the rejection of a read that nothing awaits would be unhandled.
      if (result !== undefined) pending = reader.read();
    }
  } catch (reason) {
    signal.throwIfAborted();
    throw brokenError(subject, host, reason);
  } finally {
    onEnd();
    reader?.cancel().catch(() => {});
  }
}

/** The promise's value, or undefined when it takes longer. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.max(1, timeoutMs), undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A whole body of at most `limitBytes`. Errors: `resource_exhausted` beyond; TransientFailure. */
export async function collect(
  bytes: AsyncGenerator<Uint8Array>,
  limitBytes: number,
  subject: Subject,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.byteLength;
    if (size > limitBytes) {
      const message = `the hub's answer for ${subjectLabel(subject)} is larger than ${limitBytes} bytes; check HF_ENDPOINT`;
      throw new GradpoolError("resource_exhausted", message);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads and drops a small body, so that its connection can be reused. */
async function drain(bytes: AsyncGenerator<Uint8Array>): Promise<void> {
  let size = 0;
  try {
    for await (const chunk of bytes) {
      size += chunk.byteLength;
      if (size > DRAINED_BYTES) return;
    }
  } catch (reason) {
    // The status says what is wrong; a truncated explanation does not matter.
    if (!(reason instanceof TransientFailure)) throw reason;
  }
}

function parse<S extends z.ZodType>(schema: S, body: Buffer, subject: Subject): z.infer<S> {
  const message = `the hub's answer for ${subjectLabel(subject)} is not in the hub's format; check HF_ENDPOINT`;
  try {
    return schema.parse(JSON.parse(body.toString("utf8")));
  } catch (cause) {
    throw new GradpoolError("data_loss", message, { cause });
  }
}

/**
 * One span on each side of a call, the server's part of the client's: the context travels in the metadata, as W3C
 * Trace Context says. Calls outside a trace have no spans, so that polling and heartbeats leave none.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  activeTraceparent,
  parseTraceparent,
  recordError,
  startSpan,
  traceparentOf,
  withinSpan,
  type Span,
} from "@gradpool/tracing";
import type { Call, Interceptor, Next } from "./interceptor.js";

const HEADER = "traceparent";

/**
 * A stream may be open for a week. Its span ends after this long, so that it can be seen in the meantime, and a process
 * that is killed does not lose it.
 */
const LONGEST_STREAM_SPAN_MS = 2_000;

/** A client's calls that are part of a trace have spans. */
export const clientSpans: Interceptor = (next) => (call) =>
  activeTraceparent() === "" ? next(call) : clientTraced(next, call);

async function* clientTraced(next: Next, call: Call): AsyncGenerator<unknown> {
  const span = startSpan(nameOf(call.path), { kind: "client", attributes: attributesOf(call.path) });
  if (call.responseStream) endEarly(span);
  const metadata = call.metadata.clone();
  metadata.set(HEADER, traceparentOf(span));
  let failure: unknown;
  try {
    yield* next({ ...call, metadata });
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    endSpan(span, failure);
  }
}

/** Handlers of calls that are part of a trace run within the server's span. */
export const serverSpans: Interceptor = (next) => (call) => {
  const [parent] = call.metadata.get(HEADER);
  return typeof parent === "string" && parseTraceparent(parent) ? serverTraced(next, call, parent) : next(call);
};

async function* serverTraced(next: Next, call: Call, parent: string): AsyncGenerator<unknown> {
  const span = startSpan(nameOf(call.path), { parent, kind: "server", attributes: attributesOf(call.path) });
  if (call.responseStream) endEarly(span);
  // A generator runs in the context of the caller of next().
  const responses = withinSpan(span, () => next(call)[Symbol.asyncIterator]());
  let failure: unknown;
  try {
    for (;;) {
      const { done, value } = await withinSpan(span, () => responses.next());
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (!call.signal.aborted) failure = error;
    throw error;
  } finally {
    await responses.return?.();
    endSpan(span, failure);
  }
}

/** Lets the span of a stream end before the stream does. */
function endEarly(span: Span): void {
  setTimeout(() => span.isRecording() && span.end(), LONGEST_STREAM_SPAN_MS).unref();
}

/** `error`: why the call failed; a cancelled call is not a failure. */
function endSpan(span: Span, error?: unknown): void {
  const hasFailed = error !== undefined && GradpoolError.from(error).code !== "cancelled";
  if (!span.isRecording() && !hasFailed) return;
  const last = span.isRecording() ? span : startSpan("stream failed", { parent: traceparentOf(span) });
  if (hasFailed) recordError(last, error);
  last.end();
}

/** "gradpool.v1.RunService/SubmitRun". */
const nameOf = (path: string) => path.replace(/^\//, "");

/** By OpenTelemetry's conventions for RPC. */
function attributesOf(path: string) {
  const [service = "", method = ""] = nameOf(path).split("/");
  return { "rpc.system": "grpc", "rpc.service": service, "rpc.method": method };
}

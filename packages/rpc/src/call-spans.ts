/**
 * One span on each side of a call, the server's part of the client's: the context travels in the metadata, as W3C
 * Trace Context says. Calls that belong to no trace have no spans, so that polling and heartbeats leave none.
 */
import { Metadata } from "@grpc/grpc-js";
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

const HEADER = "traceparent";

/**
 * A stream may be open for a week. Its span ends after so long, so that people see it meanwhile, and a process that is
 * killed does not take it along.
 */
const LONGEST_STREAM_SPAN_MS = 2_000;

/** A call's metadata and, if it is part of a trace, its span, which the caller ends. */
export function clientSpan(path: string, given = new Metadata()): { metadata: Metadata; span: Span | undefined } {
  if (activeTraceparent() === "") return { metadata: given, span: undefined };
  const span = startSpan(nameOf(path), { kind: "client", attributes: attributesOf(path) });
  const metadata = given.clone();
  metadata.set(HEADER, traceparentOf(span));
  return { metadata, span };
}

/** Runs `handle` in a span of its own, if the call is part of a trace; the server ends it with endSpan. */
export function inServerSpan<T>(path: string, metadata: Metadata, handle: (span: Span | undefined) => T): T {
  const [parent] = metadata.get(HEADER);
  if (typeof parent !== "string" || !parseTraceparent(parent)) return handle(undefined);
  const span = startSpan(nameOf(path), { parent, kind: "server", attributes: attributesOf(path) });
  return withinSpan(span, () => handle(span));
}

/** Lets the span of a stream end before the stream does. */
export function spanOfStream(span: Span | undefined): Span | undefined {
  if (span) setTimeout(() => span.isRecording() && span.end(), LONGEST_STREAM_SPAN_MS).unref();
  return span;
}

/** `error`: why the call failed; one that was cancelled did what it was to do. */
export function endSpan(span: Span | undefined, error?: unknown): void {
  if (!span) return;
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

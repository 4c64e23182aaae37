/** W3C Trace Context (https://www.w3.org/TR/trace-context/), as text that a header or a record can hold. */
import { isSpanContextValid, TraceFlags, type SpanContext } from "@opentelemetry/api";

/** Later versions may append fields, which we ignore; more than this is not a trace context. */
const MAX_LENGTH = 512;
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * The span that `text` names; undefined for anything that is not a traceparent: a client's mistake costs it only the
 * trace.
 */
export function parseTraceparent(text: string): SpanContext | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = FORM.exec(text) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  const span = { traceId, spanId, traceFlags: parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(span) ? span : undefined;
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, "0")}`;
}

/**
 * Spans, as the services make them. Without startTracing this costs next to nothing: no span is
 * made, no context is kept.
 */
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
} from "@opentelemetry/api";
import { GradpoolError } from "@gradpool/errors";
import { formatTraceparent, parseTraceparent } from "./traceparent.js";

export interface SpanOptions {
  /** Span that it is part of: a traceparent, or "" for none. The active span unless given. */
  parent?: string;
  /** Traceparent of a span of another trace that led to this one. */
  link?: string;
  kind?: "internal" | "client" | "server";
  attributes?: Attributes;
  /** Milliseconds since 1970; now unless given. */
  startMs?: number;
}

const KINDS = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, server: SpanKind.SERVER };

/** Starts a span that the caller ends. */
export function startSpan(name: string, options: SpanOptions = {}): Span {
  const { parent, link, kind = "internal", attributes = {}, startMs } = options;
  const linked = link === undefined ? undefined : parseTraceparent(link);
  return trace.getTracer("gradpool").startSpan(
    name,
    {
      kind: KINDS[kind],
      attributes,
      ...(linked && { links: [{ context: linked }] }),
      ...(startMs !== undefined && { startTime: startMs }),
    },
    parent === undefined ? context.active() : contextOf(parent),
  );
}

/** Runs `work` in its own span, which ends with it and records its error. */
export async function inSpan<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  const span = startSpan(name, options);
  try {
    return await withinSpan(span, () => work(span));
  } catch (error) {
    recordError(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Spans that `work` starts are part of `span`. */
export function withinSpan<T>(span: Span, work: () => T): T {
  return context.with(trace.setSpan(ROOT_CONTEXT, span), work);
}

/** Spans that `work` starts are part of the span that `traceparent` names; "": of none, even if one is active. */
export function within<T>(traceparent: string, work: () => T): T {
  return context.with(contextOf(traceparent), work);
}

/** Marks a span as failed, with the error's code and message. */
export function recordError(span: Span, reason: unknown): void {
  const { code, message } = GradpoolError.from(reason);
  span.setAttribute("error.type", code);
  span.setStatus({ code: SpanStatusCode.ERROR, message: `${code}: ${message}` });
}

/** The span's name for others; "" when it is part of no trace. */
export function traceparentOf(span: Span): string {
  const spanContext = span.spanContext();
  return trace.isSpanContextValid(spanContext) ? formatTraceparent(spanContext) : "";
}

/** That of the active span; "" when there is none. */
export function activeTraceparent(): string {
  const span = trace.getActiveSpan();
  return span ? traceparentOf(span) : "";
}

/** Fields of a log line about the span that it was written in. */
export function activeTraceIds(): { trace_id?: string; span_id?: string } {
  const spanContext = trace.getActiveSpan()?.spanContext();
  if (!spanContext || !trace.isSpanContextValid(spanContext)) return {};
  return { trace_id: spanContext.traceId, span_id: spanContext.spanId };
}

/** The trace id of a traceparent, for looking it up; "" for none. */
export function traceIdOf(traceparent: string): string {
  return parseTraceparent(traceparent)?.traceId ?? "";
}

/** Whether spans of this traceparent are kept, that is, sampled. */
export function isSampled(traceparent: string): boolean {
  return parseTraceparent(traceparent)?.traceFlags === 1;
}

function contextOf(traceparent: string): Context {
  const spanContext = parseTraceparent(traceparent);
  return spanContext ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
}

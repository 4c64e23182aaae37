export { startTracing, type Tracing } from "./start-tracing.js";
export { redactor } from "./redact.js";
export { parseTraceparent } from "./traceparent.js";
export {
  activeTraceIds,
  activeTraceparent,
  inSpan,
  isSampled,
  recordError,
  startSpan,
  traceIdOf,
  traceparentOf,
  within,
  withinSpan,
  type SpanOptions,
} from "./spans.js";
export type { Attributes, Span } from "@opentelemetry/api";

/** The part that needs OpenTelemetry's SDK. Loaded only when there is an endpoint for spans. */
import { hostname } from "node:os";
import { context, diag, DiagLogLevel, trace } from "@opentelemetry/api";
import { ExportResultCode, setGlobalErrorHandler } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { AsyncContext } from "./async-context.js";
import { redactor } from "./redact.js";

/** A killed process loses at most this much time's spans; OTEL_BSP_SCHEDULE_DELAY overrides it. */
const SCHEDULE_DELAY_MS = 1_000;
/** A batch is dropped after this long, also at the end of a process; OTEL_EXPORTER_OTLP_TIMEOUT overrides it. */
const EXPORT_TIMEOUT_MS = 2_000;

/**
 * Sends spans, in batches from a bounded queue (OTEL_BSP_*; 2,048 by default): spans that do not fit are dropped.
 * Returns a function that sends those waiting and ends it.
 */
export function startExporting(
  serviceName: string,
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
): () => Promise<void> {
  const delayMs = env["OTEL_BSP_SCHEDULE_DELAY"] ? {} : { scheduledDelayMillis: SCHEDULE_DELAY_MS };
  const timeout = env["OTEL_EXPORTER_OTLP_TIMEOUT"] ? {} : { timeoutMillis: EXPORT_TIMEOUT_MS };
  // Failures go to `warn`, once per outage; the SDK would report each.
  setGlobalErrorHandler(() => {});
  // Only while it reads the environment: problems there are for the user.
  diag.setLogger({ error: warn, warn, info: () => {}, debug: () => {}, verbose: () => {} }, DiagLogLevel.WARN);
  const provider = new BasicTracerProvider({
    resource: resourceOf(serviceName),
    spanProcessors: [
      withoutSecrets(redactor(env)),
      new BatchSpanProcessor(tellingOfOutages(new OTLPTraceExporter(timeout), warn), delayMs),
    ],
  });
  diag.disable();
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncContext());
  return async () => {
    await provider.shutdown();
    trace.disable();
    context.disable();
  };
}

/** telemetry.sdk.*, our names, and what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME replace or add. */
function resourceOf(serviceName: string) {
  const ours = resourceFromAttributes({
    "service.name": serviceName,
    "service.namespace": "gradpool",
    "service.instance.id": `${hostname()}-${process.pid}`,
  });
  return defaultResource()
    .merge(ours)
    .merge(detectResources({ detectors: [envDetector] }));
}

/** Error messages may quote an address with a password in it. */
function withoutSecrets(redact: (text: string) => string): SpanProcessor {
  return {
    onStart() {},
    onEnd({ status }) {
      if (status.message) status.message = redact(status.message);
    },
    async forceFlush() {},
    async shutdown() {},
  };
}

function tellingOfOutages(exporter: SpanExporter, warn: (message: string) => void): SpanExporter {
  let isOut = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== ExportResultCode.SUCCESS;
        if (failed && !isOut) {
          const reason = result.error?.message.split("\n")[0] || "they were refused";
          warn(`cannot send traces (${reason}); they are dropped until it works; check OTEL_EXPORTER_OTLP_ENDPOINT`);
        }
        isOut = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

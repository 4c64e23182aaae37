/** The part that needs OpenTelemetry's SDK. Loaded only when there is somewhere to send spans. */
import { hostname } from "node:os";
import { context, diag, DiagLogLevel, trace } from "@opentelemetry/api";
import { ExportResultCode, setGlobalErrorHandler } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanExporter,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { AsyncContext } from "./async-context.js";
import { redactor } from "./redact.js";

/** A killed process loses the spans of so much time; OTEL_BSP_SCHEDULE_DELAY says otherwise. */
const SCHEDULE_DELAY_MS = 1_000;
/** A batch is given up after so long, and with it the end of a process; OTEL_EXPORTER_OTLP_TIMEOUT says otherwise. */
const EXPORT_TIMEOUT_MS = 2_000;

/**
 * Sends spans, in batches from a bounded queue (OTEL_BSP_*; 2,048 unless told): what finds no room is dropped. Gives
 * what sends those that wait and ends it.
 */
export function startExporting(
  serviceName: string,
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
): () => Promise<void> {
  const delayMs = env["OTEL_BSP_SCHEDULE_DELAY"] ? {} : { scheduledDelayMillis: SCHEDULE_DELAY_MS };
  const timeout = env["OTEL_EXPORTER_OTLP_TIMEOUT"] ? {} : { timeoutMillis: EXPORT_TIMEOUT_MS };
  // Failures show in `warn`, once an outage; the SDK would tell of each.
  setGlobalErrorHandler(() => {});
  // Only while it reads the environment: what is wrong there is for people.
  diag.setLogger({ error: warn, warn, info: () => {}, debug: () => {}, verbose: () => {} }, DiagLogLevel.WARN);
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      "service.name": serviceName,
      "service.namespace": "gradpool",
      "service.instance.id": `${hostname()}-${process.pid}`,
    }),
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

/** The messages of errors may quote an address with a password in it. */
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
          warn(`traces cannot be sent (${reason}) and are lost meanwhile; see to OTEL_EXPORTER_OTLP_ENDPOINT`);
        }
        isOut = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

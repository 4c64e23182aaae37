import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";

/** How long the end of a process waits for its last spans to be sent. */
const FLUSH_MS = 2_000;

/** Ends when the last spans are sent or dropped. */
export type Tracing = AsyncDisposable;

const NOTHING: Tracing = { async [Symbol.asyncDispose]() {} };

/**
 * Sends spans as OpenTelemetry's environment variables say (OTEL_EXPORTER_OTLP_ENDPOINT and the like); without an
 * endpoint, with OTEL_SDK_DISABLED or with OTEL_TRACES_EXPORTER=none there are none. OTEL_SERVICE_NAME wins over
 * `serviceName`. `warn` is called once per outage when a collector cannot be reached, which has no other effect.
 */
export async function startTracing(
  serviceName: string,
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
): Promise<Tracing> {
  if (!isWanted(env)) return NOTHING;
  const { startExporting } = await import("./exporter.js");
  let shutdown: () => Promise<void>;
  try {
    shutdown = startExporting(env["OTEL_SERVICE_NAME"] || serviceName, env, warn);
  } catch (error) {
    warn(`tracing is off: ${GradpoolError.from(error).message}; check OTEL_EXPORTER_OTLP_ENDPOINT`);
    return NOTHING;
  }
  return {
    async [Symbol.asyncDispose]() {
      const sent = shutdown().catch(() => {});
      await Promise.race([sent, delay(FLUSH_MS, undefined, { ref: false })]);
    },
  };
}

function isWanted(env: NodeJS.ProcessEnv): boolean {
  if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || env["OTEL_TRACES_EXPORTER"] === "none") return false;
  return Boolean(env["OTEL_EXPORTER_OTLP_ENDPOINT"] || env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]);
}

import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";

/** How long the end of a process waits for its last spans to be sent. */
const FLUSH_MS = 2_000;

/** Ends when the last spans are sent or dropped. */
export type Tracing = AsyncDisposable;

const NOTHING: Tracing = { async [Symbol.asyncDispose]() {} };

/**
 * Sends spans as OpenTelemetry's environment variables say (OTEL_EXPORTER_OTLP_ENDPOINT and the like); without an
 * endpoint or OTEL_TRACES_EXPORTER=otlp, with OTEL_SDK_DISABLED or with OTEL_TRACES_EXPORTER=none there are none.
 * OTEL_SERVICE_NAME wins over `serviceName`. `warn` is called once with a setting that is not supported, which turns
 * tracing off, and once per outage when a collector cannot be reached, which has no other effect.
 */
export async function startTracing(
  serviceName: string,
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
): Promise<Tracing> {
  if (!isWanted(env)) return NOTHING;
  const problem = unsupported(env);
  if (problem !== "") {
    warn(`tracing is off: ${problem}`);
    return NOTHING;
  }
  const { startExporting } = await import("./exporter.js");
  let shutdown: () => Promise<void>;
  try {
    shutdown = startExporting(serviceName, env, warn);
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
  const exporter = env["OTEL_TRACES_EXPORTER"]?.trim();
  if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || exporter === "none") return false;
  return Boolean(exporter || env["OTEL_EXPORTER_OTLP_ENDPOINT"] || env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]);
}

const PROTOCOLS = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/** What is asked for and is not there; "" for nothing. Spans sent another way than asked for would be lost silently. */
function unsupported(env: NodeJS.ProcessEnv): string {
  const exporter = env["OTEL_TRACES_EXPORTER"]?.trim() || "otlp";
  if (exporter !== "otlp") return `OTEL_TRACES_EXPORTER is ${exporter}; set it to otlp or none`;
  const variable = PROTOCOLS.find((name) => env[name]?.trim());
  const protocol = variable && env[variable]?.trim();
  if (!protocol || protocol === "http/json") return "";
  const advice = "set it to http/json, with the collector's port for OTLP over HTTP (4318)";
  return `${variable} is ${protocol}, but spans are sent as http/json only; ${advice}`;
}

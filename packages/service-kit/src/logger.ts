import { activeTraceIds, redactor } from "@gradpool/tracing";
import { pino, type Logger } from "pino";
import { readableLine } from "./readable-log.js";

export type { Logger } from "pino";

/**
 * A logger that writes to standard error, so that standard output stays free: JSON lines, or with
 * GRADPOOL_LOG_FORMAT=pretty lines for people. Lines written within a span say its trace_id and span_id; secrets of
 * the environment are left out of them all.
 */
export function createLogger(name: string, env: NodeJS.ProcessEnv): Logger {
  const { level, format } = settingsOf(env);
  const redact = redactor(env);
  const file = pino.destination({ dest: 2, sync: true, maxLength: MAX_WAITING_CHARACTERS });
  // A full disk must not end a service: its lines wait until there is space, and those beyond the bound are dropped.
  file.on("error", () => {});
  const write = (line: string) => {
    const safe = redact(line);
    file.write(format === "pretty" ? readableLine(safe) : safe);
  };
  return pino({ name, level, mixin: activeTraceIds }, { write });
}

/** Of log lines that cannot be written. */
const MAX_WAITING_CHARACTERS = 1 << 20;

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/** Unknown values are ignored: a log setting must not keep a service from starting. */
function settingsOf({ GRADPOOL_LOG_LEVEL: level = "", GRADPOOL_LOG_FORMAT: format }: NodeJS.ProcessEnv) {
  return { level: LEVELS.includes(level) ? level : "info", format: format === "pretty" ? "pretty" : "json" };
}

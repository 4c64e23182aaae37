/** Log lines for people: the content of the JSON lines in a fixed order, without what a terminal does not need. */

const LEVEL_NAMES: Record<number, string> = {
  10: "TRACE",
  20: "DEBUG",
  30: "INFO",
  40: "WARN",
  50: "ERROR",
  60: "FATAL",
};

/** Fields with their own place in the line, or that a terminal does not need. */
const OWN_PLACE = new Set(["level", "time", "pid", "hostname", "name", "msg", "err", "stack"]);

/** Characters that control a terminal. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const escaped = (sign: string) => (sign === "\n" ? "\\n" : `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
const visible = (text: string) => text.replace(CONTROL, escaped);

/** "12:34:56.789 INFO  trainer: connected coordinator=127.0.0.1:7070"; stacks follow on separate lines. */
export function readableLine(json: string): string {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json;
  }
  const { level, time, name, msg = "", err, stack } = line;
  const at = new Date(Number(time)).toISOString().slice(11, 23);
  const fields = Object.entries(line).filter(([key]) => !OWN_PLACE.has(key));
  const details = fields.map(
    ([key, value]) => ` ${key}=${visible(typeof value === "string" ? value : JSON.stringify(value))}`,
  );
  const stacks = [stack, (err as { stack?: unknown } | undefined)?.stack].filter((text) => typeof text === "string");
  const head = `${at} ${(LEVEL_NAMES[Number(level)] ?? String(level)).padEnd(5)} ${String(name)}: ${visible(String(msg))}`;
  const below = stacks.flatMap((text) => text.split("\n").map(visible));
  return `${[head + details.join(""), ...below].join("\n")}\n`;
}

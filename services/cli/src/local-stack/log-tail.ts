import { open, type FileHandle } from "node:fs/promises";

/** How much of a log's end is shown. */
const TAIL_LINES = 8;
const TAIL_BYTES = 64 * 1024;

/** The end of a service's log for people; undefined where it has none. */
export async function logEnd(name: string, path: string): Promise<string | undefined> {
  const lines = await lastLines(path);
  return lines.length > 0 ? [`end of ${name}'s log:`, ...lines].join("\n  ") : undefined;
}

/** Of each JSON line its message and error. */
async function lastLines(path: string): Promise<string[]> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch {
    return [];
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(TAIL_BYTES, size);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n").filter(Boolean);
    return lines.slice(-TAIL_LINES).map(readable);
  } finally {
    await file.close();
  }
}

function readable(line: string): string {
  try {
    const entry = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    if (typeof entry.msg !== "string") return line;
    return entry.err?.message && entry.err.message !== entry.msg ? `${entry.msg}: ${entry.err.message}` : entry.msg;
  } catch {
    return line;
  }
}

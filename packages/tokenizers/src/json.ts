/** Reading files that may be missing, damaged or of another kind. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError, parsePythonJson, tooManyOpenFiles } from "@gradpool/errors";

/** Largest file that is read, in bytes; the largest in use (250,000 entries) have about 30 MB. */
const MAX_FILE_BYTES = 128 * 1024 * 1024;

export type JsonObject = Record<string, unknown>;

/** A file's bytes; undefined when there is none. Errors: `permission_denied`, `data_loss` when it is too large. */
export async function readIfPresent(dir: string, name: string): Promise<Uint8Array | undefined> {
  const path = join(dir, name);
  try {
    // A pipe would be waited for, and a device has no end.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile()) throw new GradpoolError("permission_denied", `${path} is not a regular file; replace it`);
    const { size } = found;
    if (size > MAX_FILE_BYTES) {
      throw damaged(name, `has ${size} bytes, more than any tokenizer (${MAX_FILE_BYTES})`);
    }
    return new Uint8Array(await file.readFile());
  } catch (error) {
    if (error instanceof GradpoolError) throw error;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    const shortage = tooManyOpenFiles(error, path);
    if (shortage) throw shortage;
    const reason = error instanceof Error ? error.message : String(error);
    const message = `${path} cannot be read (${reason}); check what it is and its permissions`;
    throw new GradpoolError("permission_denied", message, { cause: error });
  }
}

/** Errors: `data_loss` for a file that does not hold what it should. */
export function damaged(name: string, problem: string, cause?: unknown): GradpoolError {
  return new GradpoolError("data_loss", `${name} ${problem}; download it again`, { cause });
}

/** Errors: `data_loss` when the bytes are not UTF-8 or not a JSON object. */
export function parseObject(name: string, bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = parsePythonJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw damaged(name, "is not valid JSON (perhaps truncated)", cause);
  }
  return asObject(name, "its content", value);
}

export function asObject(name: string, where: string, value: unknown): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw damaged(name, `is damaged: ${where} is not an object`);
}

export function asArray(name: string, where: string, value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw damaged(name, `is damaged: ${where} is not a list`);
}

export function asString(name: string, where: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw damaged(name, `is damaged: ${where} is not a text`);
}

/** Errors: `data_loss` for an invalid id. */
export function asId(name: string, where: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31) return value;
  throw damaged(
    name,
    `is damaged: ${where} has the id ${JSON.stringify(value)}, which is not a whole number below 2^31`,
  );
}

/** A value as it appears in a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

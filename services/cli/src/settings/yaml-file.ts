/** YAML files that people write. */
import { open } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";
import { parseDocument } from "yaml";

/** More than any settings need; a data set named by mistake is not read. */
const MAX_BYTES = 1 << 20;
/** Bounds what aliases can make of few bytes. */
const MAX_ALIASES = 100;

/**
 * The content of a file of one YAML document (JSON is one, too); undefined when there is no such file.
 * Errors: `failed_precondition` when it cannot be read, `invalid_argument` when it is not YAML, with the line.
 */
export async function readYaml(path: string): Promise<unknown> {
  const content = await readText(path);
  if (content === undefined) return undefined;
  const document = parseDocument(content);
  const [error] = document.errors;
  if (error) {
    const [place] = error.linePos ?? [];
    const [what = ""] = error.message.split(/ at line |\n/);
    const line = place ? `line ${place.line}, column ${place.col}: ` : "";
    throw new GradpoolError("invalid_argument", `${path} is not valid YAML: ${line}${what}; fix it`);
  }
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new GradpoolError("invalid_argument", `${path} cannot be used: ${what}; fix it`, { cause });
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > MAX_BYTES)
      throw new GradpoolError("failed_precondition", `${path} has ${size} bytes, which is too large for a config file`);
    // Exactly this much: a file may grow while it is read.
    const buffer = Buffer.alloc(size);
    const { bytesRead } = await file.read(buffer, 0, size, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } catch (cause) {
    if (cause instanceof GradpoolError) throw cause;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new GradpoolError("failed_precondition", `${path} cannot be read (${code}); fix that or remove it`, {
      cause,
    });
  }
}

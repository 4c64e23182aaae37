/** The files of an adapter, wherever a run or PEFT put them. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { GradpoolError, parseJson } from "@gradpool/errors";

export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
const MANIFEST = "manifest.json";
const CHECKPOINT = /^checkpoint-epoch(\d+)-step(\d+)$/;

/** One folder with an adapter; what its manifest names is checked when it is read. */
export class AdapterFolder {
  private constructor(
    readonly path: string,
    /** SHA-256 (hex) by file name; empty for folders without a manifest. */
    private readonly hashes: ReadonlyMap<string, string>,
  ) {}

  /**
   * `path` is a folder that PEFT saved, a checkpoint, or a run's output folder: its result, or while the
   * run goes on its newest checkpoint. Errors: `not_found`, `failed_precondition` for a recovery point,
   * `data_loss` for a damaged manifest.
   */
  static async open(path: string): Promise<AdapterFolder> {
    const entries = await readdir(path).catch((cause: unknown) => {
      throw missing(path, cause);
    });
    if (entries.includes(ADAPTER_CONFIG)) return new AdapterFolder(path, await manifestHashes(path, entries));
    if (basename(path).startsWith(".recovery-")) {
      const advice = "name a checkpoint, or resume the run";
      throw new GradpoolError("failed_precondition", `adapter: ${path} is only a recovery point; ${advice}`);
    }
    const newest = entries
      .filter((name) => CHECKPOINT.test(name))
      .sort(byStep)
      .at(-1);
    if (newest === undefined) throw missing(join(path, ADAPTER_CONFIG), "ENOENT");
    return AdapterFolder.open(join(path, newest));
  }

  async has(name: string): Promise<boolean> {
    return (await stat(join(this.path, name)).catch(() => undefined))?.isFile() ?? false;
  }

  /** Errors: `not_found`; `data_loss` when it is not what the manifest says. */
  async read(name: string): Promise<Buffer> {
    const path = join(this.path, name);
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw missing(path, cause);
    });
    const expected = this.hashes.get(name);
    if (expected !== undefined && createHash("sha256").update(bytes).digest("hex") !== expected) {
      const problem = `adapter: ${path} is damaged, its SHA-256 is not that of ${MANIFEST}`;
      throw new GradpoolError("data_loss", `${problem}; use another checkpoint`);
    }
    return bytes;
  }

  /** Errors: as `read`; `data_loss` when it is no JSON object. */
  async readJson(name: string): Promise<Record<string, unknown>> {
    const text = (await this.read(name)).toString("utf8");
    try {
      const value: unknown = parseJson(text);
      if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
    } catch {
      // Said below.
    }
    const problem = `adapter: ${join(this.path, name)} is not valid JSON`;
    throw new GradpoolError("data_loss", `${problem}; copy the adapter again`);
  }
}

function byStep(a: string, b: string): number {
  const place = (name: string) => (CHECKPOINT.exec(name) ?? []).slice(1).map(Number);
  const [[epochA = 0, stepA = 0], [epochB = 0, stepB = 0]] = [place(a), place(b)];
  return stepA - stepB || epochA - epochB;
}

async function manifestHashes(path: string, entries: readonly string[]): Promise<Map<string, string>> {
  if (!entries.includes(MANIFEST)) return new Map();
  const damaged = () =>
    new GradpoolError("data_loss", `adapter: ${join(path, MANIFEST)} is damaged; use another checkpoint`);
  let files: unknown;
  try {
    files = (JSON.parse(await readFile(join(path, MANIFEST), "utf8")) as { files?: unknown } | null)?.files;
  } catch {
    throw damaged();
  }
  if (!Array.isArray(files)) throw damaged();
  const hashes = (files as ({ path?: unknown; sha256?: unknown } | null)[]).map((file) => [file?.path, file?.sha256]);
  if (!hashes.every((pair): pair is [string, string] => pair.every((part) => typeof part === "string")))
    throw damaged();
  return new Map(hashes);
}

function missing(path: string, cause: unknown): GradpoolError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  const advice = "give a folder that gradpool or PEFT saved";
  return new GradpoolError("not_found", `adapter: ${path} cannot be read (${code}); ${advice}`, { cause });
}

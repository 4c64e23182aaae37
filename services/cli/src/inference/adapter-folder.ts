/** The files of an adapter, as a run or PEFT saved it. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { GradpoolError, parseJson } from "@gradpool/errors";
import {
  ADAPTER_CONFIG_FILE,
  damageOf,
  isRecoveryName,
  LOCK_FILE,
  MANIFEST_FILE,
  newestByName,
  parseLock,
  parseManifest,
  type Manifest,
} from "@gradpool/run-folder";
import { isAlive } from "@gradpool/service-kit";

/** One folder with an adapter; what its manifest names is checked when it is read. */
export class AdapterFolder {
  private constructor(
    readonly path: string,
    /** Undefined for a folder that is not a checkpoint. */
    private readonly manifest: Manifest | undefined,
  ) {}

  /**
   * `path` is a folder that PEFT saved, a checkpoint, or a run's output folder: its result or, while a run writes into
   * it, that run's newest checkpoint. Errors: `not_found`, `failed_precondition` for a recovery point, `data_loss` for
   * a damaged manifest.
   */
  static async open(path: string): Promise<AdapterFolder> {
    const entries = await readdir(path).catch((cause: unknown) => {
      throw missing(path, cause);
    });
    if (isRecoveryName(basename(path))) {
      const advice = "name a checkpoint, or resume the run";
      throw new GradpoolError("failed_precondition", `adapter: ${path} is only a recovery point; ${advice}`);
    }
    const hasAdapter = entries.includes(ADAPTER_CONFIG_FILE);
    const checkpoints = newestByName(entries).filter((name) => !isRecoveryName(name));
    const newest = (await ofRunningRun(path, checkpoints)) ?? (hasAdapter ? undefined : checkpoints[0]);
    if (newest !== undefined) return AdapterFolder.open(join(path, newest));
    if (!hasAdapter) throw missing(join(path, ADAPTER_CONFIG_FILE), "ENOENT");
    const manifest = entries.includes(MANIFEST_FILE) ? await readManifest(path) : undefined;
    if (typeof manifest === "string") throw damaged(path, manifest);
    return new AdapterFolder(path, manifest);
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
    const listed = this.manifest?.files.find((file) => file.path === name);
    const damage = listed ? damageOf(listed, bytes) : "";
    if (damage) throw damaged(this.path, damage);
    return bytes;
  }

  /** Errors: as `read`; `data_loss` when it is not a JSON object. */
  async readJson(name: string): Promise<Record<string, unknown>> {
    const text = (await this.read(name)).toString("utf8");
    try {
      const value: unknown = parseJson(text);
      if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
    } catch {
      // Reported below.
    }
    const problem = `adapter: ${join(this.path, name)} is not valid JSON`;
    throw new GradpoolError("data_loss", `${problem}; copy the adapter again`);
  }
}

/** Of an output folder's checkpoints, newest first, that of the run that writes into it; undefined: there is none. */
async function ofRunningRun(path: string, checkpoints: readonly string[]): Promise<string | undefined> {
  if (checkpoints.length === 0) return undefined;
  const lock = parseLock(await readFile(join(path, LOCK_FILE), "utf8").catch(() => ""));
  if (!lock || !isAlive(lock)) return undefined;
  for (const name of checkpoints) {
    const manifest = await readManifest(join(path, name));
    if (typeof manifest !== "string" && manifest.runId === lock.run_id) return name;
  }
  return undefined;
}

/** The manifest of a checkpoint's folder, or what is wrong with it. */
async function readManifest(folder: string): Promise<Manifest | string> {
  try {
    return parseManifest(await readFile(join(folder, MANIFEST_FILE)));
  } catch (cause) {
    return `${MANIFEST_FILE} cannot be read (${codeOf(cause)})`;
  }
}

function damaged(path: string, damage: string): GradpoolError {
  return new GradpoolError("data_loss", `adapter: checkpoint ${path} is damaged: ${damage}; use another checkpoint`);
}

function missing(path: string, cause: unknown): GradpoolError {
  const advice = "give a folder that gradpool or PEFT saved";
  return new GradpoolError("not_found", `adapter: ${path} cannot be read (${codeOf(cause)}); ${advice}`, { cause });
}

const codeOf = (cause: unknown) => (cause instanceof Error && "code" in cause ? String(cause.code) : String(cause));

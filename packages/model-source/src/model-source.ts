/** Where a model_id becomes files. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, open, readFile, stat, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { openFamily, type Model } from "@gradpool/models";
import { headerLength, LENGTH_BYTES, parseHeader, type SafetensorsHeader } from "@gradpool/safetensors";

const CONFIG_FILE = "config.json";
const WEIGHTS_FILE = "model.safetensors";

/** A model that was found, read as far as its weights' header, and checked. */
export interface ModelSource {
  /** As the user named it. */
  modelId: string;
  /** Absolute folder. */
  dir: string;
  /** SHA-256 (hex) over config.json and the weights' header. */
  modelHash: string;
  weightsFile: string;
  header: SafetensorsHeader;
  model: Model;
}

/**
 * Opens a model folder. Errors: `not_found` for a missing folder or file, `permission_denied`,
 * `failed_precondition` for an unsupported architecture, `data_loss` for damaged files.
 */
export async function openModel(modelId: string): Promise<ModelSource> {
  const dir = resolve(modelId);
  await requireFolder(modelId, dir);
  const configBytes = await readFile(join(dir, CONFIG_FILE)).catch((error: unknown) => {
    throw missing(modelId, CONFIG_FILE, error);
  });
  const { header, bytes } = await readHeader(modelId, join(dir, WEIGHTS_FILE));
  const modelHash = createHash("sha256").update(configBytes).update(bytes).digest("hex");
  const model = openFamily(parseJson(modelId, configBytes), header);
  return { modelId, dir, modelHash, weightsFile: WEIGHTS_FILE, header, model };
}

async function requireFolder(modelId: string, dir: string): Promise<void> {
  const found = await stat(dir).catch(() => undefined);
  if (!found?.isDirectory()) {
    const problem = found ? "is a file" : "does not exist";
    const advice = `give a folder with ${CONFIG_FILE}, ${WEIGHTS_FILE} and a tokenizer`;
    throw new GradpoolError("not_found", `model_id: ${modelId} ${problem}; ${advice}`);
  }
  await access(dir, constants.R_OK | constants.X_OK).catch((error: unknown) => {
    throw unreadable(modelId, error);
  });
}

function missing(modelId: string, file: string, cause: unknown): GradpoolError {
  if (!isMissing(cause)) return unreadable(join(modelId, file), cause);
  const advice = `a model folder holds ${CONFIG_FILE}, ${WEIGHTS_FILE} and a tokenizer`;
  return new GradpoolError("not_found", `model_id: ${modelId} has no ${file}; ${advice}`, { cause });
}

function unreadable(path: string, cause: unknown): GradpoolError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GradpoolError("permission_denied", `model_id: ${path} cannot be read (${reason}); check its permissions`, {
    cause,
  });
}

const isMissing = (error: unknown) => error instanceof Error && "code" in error && error.code === "ENOENT";

function parseJson(modelId: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    const message = `model_id: ${join(modelId, CONFIG_FILE)} is not valid JSON; get the model again`;
    throw new GradpoolError("data_loss", message, { cause });
  }
}

async function readHeader(modelId: string, path: string): Promise<{ header: SafetensorsHeader; bytes: Uint8Array }> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw missing(modelId, WEIGHTS_FILE, error);
  }
  try {
    const { size } = await file.stat();
    const first8 = await readStart(file, Math.min(LENGTH_BYTES, size));
    const bytes = await readStart(file, Math.min(LENGTH_BYTES + headerLength(first8, path), size));
    return { header: parseHeader(bytes, size, path), bytes };
  } finally {
    await file.close();
  }
}

async function readStart(file: FileHandle, length: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

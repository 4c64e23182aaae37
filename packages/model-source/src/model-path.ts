/** From a model_id to a folder of the usual files. */
import { open, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { isGguf } from "@gradpool/gguf";
import { convertedGguf } from "./gguf-conversion.js";
import { CONFIG_FILE, readAt } from "./model-folder.js";

/** Names of GGUF files that a refusal lists. */
const MAX_LISTED = 10;

/**
 * The absolute folder with config.json, weights and tokenizer that a model_id means: the folder that it names, or
 * the converted form, kept in `cacheDir`, of the GGUF file that it names or that its folder holds instead of a
 * config.json. Every process that needs the model may ask at the same time. Errors: `invalid_argument` for a
 * folder with several GGUF files, and those of the conversion. What else is wrong is left to whoever opens it.
 */
export async function modelFolder(modelId: string, cacheDir?: string): Promise<string> {
  const path = resolve(modelId);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile()) return (await startsAsGguf(path)) ? convertedGguf(path, modelId, cacheDir) : path;
  if (!found?.isDirectory() || (await isFile(join(path, CONFIG_FILE)))) return path;
  const names = (await readdir(path).catch(() => [])).filter((name) => name.endsWith(".gguf")).sort();
  const [name] = names;
  if (name === undefined) return path;
  if (names.length > 1) {
    const listed = names.slice(0, MAX_LISTED).join(", ");
    throw new GradpoolError(
      "invalid_argument",
      `model_id: ${modelId} holds ${names.length} GGUF files; name one: ${listed}`,
    );
  }
  return convertedGguf(join(path, name), join(modelId, name), cacheDir);
}

const isFile = async (path: string) => (await stat(path).catch(() => undefined))?.isFile() === true;

async function startsAsGguf(path: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (!file) return false;
  try {
    return isGguf(await readAt(file, 0, 4));
  } finally {
    await file.close();
  }
}

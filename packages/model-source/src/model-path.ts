/** From a model_id to a folder of the usual files. */
import { open, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkInRoots } from "@gradpool/access";
import { GradpoolError, tooManyOpenFiles } from "@gradpool/errors";
import { isGguf, partNames } from "@gradpool/gguf";
import type { ModelPlaces, OpenOptions, Repo } from "@gradpool/hub";
import { convertedGguf } from "./gguf-conversion.js";
import { CONFIG_FILE, readAt } from "./model-folder.js";

/** Names of GGUF files that a refusal lists. */
const MAX_LISTED = 10;

/** A model_id, and what it means here. */
export interface ModelPath {
  /** Absolute folder with config.json, weights and tokenizer. */
  folder: string;
  /** Names the same model to every process: an absolute path, or "org/name@commit". */
  id: string;
}

/** Folders of downloaded models, by cache and "org/name@commit": what a commit holds never changes. */
const downloaded = new Map<string, string>();

/**
 * What a model_id means: the folder that it names; the converted form of the GGUF file that it names, or that its
 * folder holds instead of a config.json; or the model of that name on the hub, which is downloaded unless the cache
 * has it. Every process that needs the model may ask at the same time. Errors: `invalid_argument` for a folder with
 * several GGUF files, those of checkInRoots, the conversion and downloadModel. Other problems are reported when it is opened.
 */
export async function modelPath(modelId: string, places?: ModelPlaces, options: OpenOptions = {}): Promise<ModelPath> {
  if (places && !(await isHere(modelId))) {
    // Loaded only where it is needed: it takes a while.
    const { hubRepo } = await import("@gradpool/hub");
    const repo = await hubRepo(modelId, "model");
    if (repo) return hubModel(modelId, repo, places, options);
  }
  const path = resolve(modelId);
  const isAllowed = (file: string) => checkInRoots(file, places?.roots, "model_id:");
  await isAllowed(path);
  const { convert = convertedGguf } = options;
  const convertAllowed = async (gguf: string, name: string) => {
    await isAllowed(gguf);
    return convert(gguf, name, places?.cacheDir);
  };
  return { folder: await localFolder(modelId, path, convertAllowed), id: path };
}

async function hubModel(modelId: string, repo: Repo, places: ModelPlaces, options: OpenOptions): Promise<ModelPath> {
  const key = (id: string) => `${places.hub.cacheDir}\n${id}`;
  const known = downloaded.get(key(modelId));
  if (known !== undefined) return { folder: known, id: modelId };
  const { onProgress, signal = new AbortController().signal } = options;
  try {
    const { downloadModel, Hub } = await import("@gradpool/hub");
    const hub = new Hub(places.hub);
    const { folder, commit } = await downloadModel(hub, repo, { signal, ...(onProgress && { onProgress }) });
    const id = `${repo.id}@${commit}`;
    downloaded.set(key(id), folder);
    return { folder, id };
  } catch (cause) {
    const { code, message } = GradpoolError.from(cause);
    if (code === "internal" || code === "cancelled") throw cause;
    throw new GradpoolError(code, `model_id: ${modelId} is not a folder here, and ${message}`, { cause });
  }
}

async function localFolder(
  modelId: string,
  path: string,
  convert: (gguf: string, name: string) => Promise<string>,
): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile()) return (await startsAsGguf(path)) ? convert(path, modelId) : path;
  if (!found?.isDirectory() || (await isFile(join(path, CONFIG_FILE)))) return path;
  const listed = (await readdir(path).catch(unlessShort([]))).filter((name) => name.endsWith(".gguf")).sort();
  const names: string[] = [];
  for (const name of listed) if (await isFile(join(path, name))) names.push(name);
  const [name] = names;
  if (name === undefined) return path;
  const parts = partNames(name);
  if (names.length > 1 && !(parts && names.every((one) => parts.includes(one)))) {
    const some = names.slice(0, MAX_LISTED).join(", ");
    throw new GradpoolError(
      "invalid_argument",
      `model_id: ${modelId} has ${names.length} GGUF files; name one: ${some}`,
    );
  }
  return convert(join(path, name), join(modelId, name));
}

const isHere = async (path: string) => (await stat(path).catch(() => undefined)) !== undefined;

/** What cannot be opened is reported later; unless the process has too many open files, which passes. */
const unlessShort =
  <T>(instead: T) =>
  (error: unknown): T => {
    const shortage = tooManyOpenFiles(error);
    if (shortage) throw shortage;
    return instead;
  };

const isFile = async (path: string) => (await stat(path).catch(() => undefined))?.isFile() === true;

async function startsAsGguf(path: string): Promise<boolean> {
  const file = await open(path).catch(unlessShort(undefined));
  if (!file) return false;
  try {
    return isGguf(await readAt(file, 0, 4));
  } finally {
    await file.close();
  }
}

/** The weights of a model folder, whichever of the usual files hold them. */
import { GradpoolError } from "@gradpool/errors";
import type { WeightEntry, WeightsHeader } from "@gradpool/models";
import { headerLength, LENGTH_BYTES, parseHeader, type TensorEntry } from "@gradpool/safetensors";
import { readTorchFile } from "@gradpool/torch-file";
import { CONFIG_FILE, type ModelFile, type ModelFolder } from "./model-folder.js";
import { checkShard, readShardIndex } from "./shards.js";

const MAX_INDEX_BYTES = 100_000_000;

/** Which tensors a file holds, and the bytes that say so: with them the model's identity changes. */
interface FileContents {
  tensors: ReadonlyMap<string, TensorEntry>;
  fingerprint: Uint8Array;
}

interface WeightsFormat {
  file: string;
  index: string;
  read(file: ModelFile): Promise<FileContents>;
}

/** In the order of preference, as transformers': safetensors holds no code to refuse. */
const FORMATS: readonly WeightsFormat[] = [
  { file: "model.safetensors", index: "model.safetensors.index.json", read: readSafetensors },
  { file: "pytorch_model.bin", index: "pytorch_model.bin.index.json", read: readTorchFile },
];

export interface Weights {
  header: WeightsHeader;
  fingerprints: Uint8Array[];
}

/**
 * Reads which tensors there are and where they lie. Errors: `not_found` without weights, `data_loss`
 * for damaged files, and those of the formats' readers.
 */
export async function readWeights(folder: ModelFolder): Promise<Weights> {
  for (const { file, index, read } of FORMATS) {
    if (await folder.has(file)) return readFile(folder, file, read);
    if (await folder.has(index)) return readShards(folder, index, read);
  }
  const names = FORMATS.flatMap(({ file, index }) => [file, index]).join(", ");
  const message = `model_id: ${folder.modelId} has no model.safetensors, nor other weights; a model folder holds ${CONFIG_FILE}, one of ${names}, and a tokenizer`;
  throw new GradpoolError("not_found", message);
}

async function readFile(folder: ModelFolder, name: string, read: WeightsFormat["read"]): Promise<Weights> {
  const { tensors, fingerprint } = await folder.withFile(name, (file) => located(file, read));
  return { header: { tensors }, fingerprints: [fingerprint] };
}

async function readShards(folder: ModelFolder, index: string, read: WeightsFormat["read"]): Promise<Weights> {
  const { value } = await folder.readJson(index, MAX_INDEX_BYTES);
  const tensors = new Map<string, WeightEntry>();
  const fingerprints: Uint8Array[] = [];
  for (const [name, indexed] of readShardIndex(value, `${folder.modelId}/${index}`)) {
    const shard = await folder.withFile(name, (file) => located(file, read));
    checkShard(indexed, shard.tensors, `${folder.modelId}/${name}`);
    for (const [tensor, entry] of shard.tensors) tensors.set(tensor, entry);
    fingerprints.push(shard.fingerprint);
  }
  return { header: { tensors }, fingerprints };
}

async function located(file: ModelFile, read: WeightsFormat["read"]) {
  const { tensors, fingerprint } = await read(file);
  const entries = new Map<string, WeightEntry>();
  for (const [name, entry] of tensors) entries.set(name, { ...entry, file: file.location });
  return { tensors: entries, fingerprint };
}

async function readSafetensors({ path, sizeBytes, read }: ModelFile): Promise<FileContents> {
  const length = headerLength(await read(0, Math.min(LENGTH_BYTES, sizeBytes)), path);
  const bytes = await read(0, Math.min(LENGTH_BYTES + length, sizeBytes));
  return { tensors: parseHeader(bytes, sizeBytes, path).tensors, fingerprint: bytes };
}

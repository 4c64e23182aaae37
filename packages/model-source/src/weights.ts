/** The weights of a model folder, whichever of the usual files hold them. */
import { GradpoolError } from "@gradpool/errors";
import type { WeightEntry, WeightsHeader } from "@gradpool/models";
import { headerLength, LENGTH_BYTES, parseHeader, type TensorEntry } from "@gradpool/safetensors";
import { readTorchFile, type StridedEntry } from "@gradpool/torch-file";
import { CONFIG_FILE, type ModelFile, type ModelFolder } from "./model-folder.js";
import { checkShard, readShardIndex } from "./shards.js";

const MAX_INDEX_BYTES = 100_000_000;

/** Which tensors a file holds, and the bytes that say so: with them the model's identity changes. */
interface FileContents {
  tensors: ReadonlyMap<string, TensorEntry>;
  /** Not stored row by row. */
  strided?: ReadonlyMap<string, StridedEntry>;
  unreadable: ReadonlyMap<string, GradpoolError>;
  fingerprint: Uint8Array;
}

interface WeightsFormat {
  file: string;
  index: string;
  read(file: ModelFile): Promise<FileContents>;
}

/** In the order of preference, as transformers': safetensors cannot contain code. */
const FORMATS: readonly WeightsFormat[] = [
  { file: "model.safetensors", index: "model.safetensors.index.json", read: readSafetensors },
  { file: "pytorch_model.bin", index: "pytorch_model.bin.index.json", read: readTorchFile },
];

/** A weight that is not stored row by row. */
export type StridedWeight = StridedEntry & WeightEntry;

export interface Weights {
  header: WeightsHeader;
  /** To be written row by row before they are used. */
  strided: ReadonlyMap<string, StridedWeight>;
  fingerprints: Uint8Array[];
}

interface LocatedFile {
  tensors: Map<string, WeightEntry>;
  strided: Map<string, StridedWeight>;
  unreadable: ReadonlyMap<string, GradpoolError>;
  fingerprint: Uint8Array;
}

/**
 * Reads which tensors there are and where they are. Errors: `not_found` without weights, `data_loss`
 * for damaged files, and those of the formats' readers.
 */
export async function readWeights(folder: ModelFolder): Promise<Weights> {
  for (const { file, index, read } of FORMATS) {
    if (await folder.has(file)) return readFile(folder, file, read);
    if (await folder.has(index)) return readShards(folder, index, read);
  }
  const names = FORMATS.flatMap(({ file, index }) => [file, index]).join(", ");
  const message = `model_id: ${folder.modelId} has no weights; a model folder has ${CONFIG_FILE}, one of ${names}, and a tokenizer`;
  throw new GradpoolError("not_found", message);
}

async function readFile(folder: ModelFolder, name: string, read: WeightsFormat["read"]): Promise<Weights> {
  const { tensors, strided, unreadable, fingerprint } = await folder.withFile(name, (file) => located(file, read));
  return { header: { tensors, unreadable }, strided, fingerprints: [fingerprint] };
}

async function readShards(folder: ModelFolder, index: string, read: WeightsFormat["read"]): Promise<Weights> {
  const { value } = await folder.readJson(index, MAX_INDEX_BYTES);
  const tensors = new Map<string, WeightEntry>();
  const strided = new Map<string, StridedWeight>();
  const unreadable = new Map<string, GradpoolError>();
  const fingerprints: Uint8Array[] = [];
  for (const [name, indexed] of readShardIndex(value, `${folder.modelId}/${index}`)) {
    const shard = await folder.withFile(name, (file) => located(file, read));
    const found = new Set([...shard.tensors.keys(), ...shard.strided.keys(), ...shard.unreadable.keys()]);
    const absent = checkShard(indexed, found, `${folder.modelId}/${name}`);
    for (const [tensor, entry] of shard.tensors) tensors.set(tensor, entry);
    for (const [tensor, entry] of shard.strided) strided.set(tensor, entry);
    for (const [tensor, reason] of [...shard.unreadable, ...absent]) unreadable.set(tensor, reason);
    fingerprints.push(shard.fingerprint);
  }
  return { header: { tensors, unreadable }, strided, fingerprints };
}

async function located(file: ModelFile, read: WeightsFormat["read"]): Promise<LocatedFile> {
  const { tensors, strided = new Map<string, StridedEntry>(), ...contents } = await read(file);
  const inFile = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].map(([name, entry]) => [name, { ...entry, file: file.location }]));
  return { ...contents, tensors: inFile(tensors), strided: inFile(strided) };
}

async function readSafetensors({ path, sizeBytes, read }: ModelFile): Promise<FileContents> {
  const length = headerLength(await read(0, Math.min(LENGTH_BYTES, sizeBytes)), path);
  const bytes = await read(0, Math.min(LENGTH_BYTES + length, sizeBytes));
  const { tensors, foreign } = parseHeader(bytes, sizeBytes, path, { passForeign: true });
  return { tensors, unreadable: foreign, fingerprint: bytes };
}

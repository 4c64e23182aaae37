/**
 * What torch.save(model.state_dict()) writes since torch 1.6: a zip archive of data.pkl, which describes the
 * tensors, and one entry data/KEY per storage, stored as it is, so that tensors can be read where they
 * lie. Nothing in it is ever executed (I7).
 */
import { crc32 } from "node:zlib";
import { GradpoolError } from "@gradpool/errors";
import { DTYPE_BYTES, tensorBytes, type TensorEntry } from "@gradpool/safetensors";
import { kindOf, type Storage, TorchTensor } from "./pickle-values.js";
import { damaged, type RandomAccess, shown } from "./random-access.js";
import { unpickle } from "./unpickle.js";
import { locateEntry, readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip.js";

const MAX_PICKLE_BYTES = 16_000_000;
const MAX_STORAGES = 1_000_000;
const ZIP_MAGIC = 0x04034b50;

export interface TorchFile {
  tensors: Map<string, TensorEntry>;
  /** The archive's directory, with each entry's size and CRC-32, and the pickle: what identifies the file. */
  fingerprint: Uint8Array;
}

/**
 * Finds the tensors of a torch file. Errors: `data_loss` for a damaged file, `failed_precondition` for what
 * is no plain dict of tensors, naming what else it holds; `unimplemented` for torch's format before 1.6.
 */
export async function readTorchFile(file: RandomAccess): Promise<TorchFile> {
  await requireZip(file);
  const directory = await readZipDirectory(file);
  const { entry, root } = findPickle(file, directory);
  await requireLittleEndian(file, directory, root);
  const pickle = await readPickle(file, entry);
  const stateDict = unpickle(pickle, file.path);
  if (!(stateDict instanceof Map)) throw refuse(file, `it holds ${kindOf(stateDict)} instead of a dict of tensors`);
  const places = new StoragePlaces(file, directory, root);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, tensor] of stateDict) {
    if (typeof name !== "string") throw refuse(file, `its dict has ${kindOf(name)} as a key`);
    if (!(tensor instanceof TorchTensor))
      throw refuse(file, `its entry ${shown(name)} is ${kindOf(tensor)}, not a tensor`);
    tensors.set(name, await locate(file, places, name, tensor));
  }
  return { tensors, fingerprint: Buffer.concat([directory.bytes, pickle]) };
}

async function requireZip(file: RandomAccess): Promise<void> {
  const first = await file.read(0, 4);
  const magic = first.byteLength === 4 ? new DataView(first.buffer, first.byteOffset).getUint32(0, true) : 0;
  if (magic === ZIP_MAGIC) return;
  if (first[0] !== 0x80) throw damaged(file.path, "it is no file of torch.save");
  const message = `${file.path} is in torch's format before 1.6; load and save it with a newer torch, best as safetensors`;
  throw new GradpoolError("unimplemented", message);
}

/** ROOT/data.pkl; torch names the root after the file that it once wrote. */
function findPickle(file: RandomAccess, { entries }: ZipDirectory): { entry: ZipEntry; root: string } {
  const found = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [entry] = found;
  if (!entry || found.length > 1) throw damaged(file.path, `it holds ${found.length} data.pkl instead of one`);
  return { entry, root: entry.name.slice(0, -"data.pkl".length) };
}

async function requireLittleEndian(file: RandomAccess, directory: ZipDirectory, root: string): Promise<void> {
  const entry = directory.entries.get(`${root}byteorder`);
  if (!entry) return;
  const begin = await locateEntry(file, entry);
  const order = new TextDecoder().decode(await file.read(begin, Math.min(16, entry.sizeBytes)));
  if (order !== "little") throw refuse(file, `its byte order is ${shown(order)}`);
}

async function readPickle(file: RandomAccess, entry: ZipEntry): Promise<Uint8Array> {
  const begin = await locateEntry(file, entry);
  if (entry.sizeBytes > MAX_PICKLE_BYTES) throw damaged(file.path, `its pickle has ${entry.sizeBytes} bytes`);
  const pickle = await file.read(begin, entry.sizeBytes);
  if (crc32(pickle) !== entry.crc32) throw damaged(file.path, "its pickle does not have the CRC-32 that it should");
  return pickle;
}

/** Where storages begin: each is looked up once, however many tensors share it. */
class StoragePlaces {
  readonly #known = new Map<string, { storage: Storage; begin: number }>();

  constructor(
    private readonly file: RandomAccess,
    private readonly directory: ZipDirectory,
    private readonly root: string,
  ) {}

  async beginOf(storage: Storage): Promise<number> {
    const known = this.#known.get(storage.key);
    if (known) {
      if (known.storage.dtype === storage.dtype && known.storage.size === storage.size) return known.begin;
      throw damaged(this.file.path, `its storage ${shown(storage.key)} is described in two ways`);
    }
    if (this.#known.size >= MAX_STORAGES) throw damaged(this.file.path, `it has more than ${MAX_STORAGES} storages`);
    const entry = this.directory.entries.get(`${this.root}data/${storage.key}`);
    if (!entry) throw damaged(this.file.path, `its storage ${shown(storage.key)} is missing`);
    const bytes = tensorBytes(storage.dtype, [storage.size]);
    if (bytes !== entry.sizeBytes) {
      const should = `where ${storage.size} elements of ${storage.dtype} should be`;
      throw damaged(this.file.path, `its storage ${shown(storage.key)} has ${entry.sizeBytes} bytes ${should}`);
    }
    const begin = await locateEntry(this.file, entry);
    this.#known.set(storage.key, { storage, begin });
    return begin;
  }
}

async function locate(
  file: RandomAccess,
  places: StoragePlaces,
  name: string,
  tensor: TorchTensor,
): Promise<TensorEntry> {
  const { storage, offset, shape } = tensor;
  const bytes = tensorBytes(storage.dtype, shape);
  if (bytes === undefined) throw damaged(file.path, `tensor ${shown(name)} has a shape too large for any file`);
  const size = DTYPE_BYTES[storage.dtype];
  if (offset + bytes / size > storage.size)
    throw damaged(file.path, `tensor ${shown(name)} reaches beyond its storage`);
  if (!isContiguous(tensor)) {
    throw refuse(file, `tensor ${shown(name)} is stored with strides (${tensor.strides.join(", ")}), not row by row`);
  }
  const begin = (await places.beginOf(storage)) + offset * size;
  return { name, dtype: storage.dtype, shape: [...shape], begin, end: begin + bytes };
}

/** As torch's is_contiguous: strides of dimensions with one element do not matter, nor any without elements. */
function isContiguous({ shape, strides }: TorchTensor): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size === 1) continue;
    if (strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

function refuse(file: RandomAccess, what: string): GradpoolError {
  const message = `${file.path}: ${what}; use a file of nothing but tensors, best model.safetensors`;
  return new GradpoolError("failed_precondition", message);
}

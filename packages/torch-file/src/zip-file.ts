/**
 * What torch.save(model.state_dict()) writes since torch 1.6: a zip archive of data.pkl, which describes the
 * tensors, and one entry data/KEY per storage, stored as it is, so that tensors can be read in
 * place. Nothing in it is ever executed (I7).
 */
import { crc32 } from "node:zlib";
import { tensorBytes } from "@gradpool/safetensors";
import type { Storage } from "./pickle-values.js";
import { damaged, MAX_PICKLE_BYTES, type RandomAccess, shown } from "./random-access.js";
import { refuse, tensorsOf, type TorchFile } from "./state-dict.js";
import { unpickle } from "./unpickle.js";
import { locateEntry, readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip.js";

/** Errors: as for readTorchFile. */
export async function readZipFile(file: RandomAccess): Promise<TorchFile> {
  const directory = await readZipDirectory(file);
  const { entry, root } = findPickle(file, directory);
  await requireLittleEndian(file, directory, root);
  const pickle = await readPickle(file, entry);
  const places = new StoragePlaces(file, directory, root);
  const { value } = unpickle(pickle, file.path);
  const found = await tensorsOf(file, value, (storage) => places.beginOf(storage));
  return { ...found, fingerprint: Buffer.concat([directory.bytes, pickle]) };
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
  const order = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    await file.read(begin, Math.min(16, entry.sizeBytes)),
  );
  if (order !== "little") throw refuse(file, `its byte order is ${shown(order)}`);
}

async function readPickle(file: RandomAccess, entry: ZipEntry): Promise<Uint8Array> {
  const begin = await locateEntry(file, entry);
  if (entry.sizeBytes > MAX_PICKLE_BYTES) throw damaged(file.path, `its pickle has ${entry.sizeBytes} bytes`);
  const pickle = await file.read(begin, entry.sizeBytes);
  // torch.serialization.set_crc32_options(False) leaves zeros.
  if (entry.crc32 !== 0 && crc32(pickle) !== entry.crc32)
    throw damaged(file.path, "its pickle does not match its CRC-32");
  return pickle;
}

/** Where storages begin: each is looked up once, however many tensors share it. */
class StoragePlaces {
  readonly #begins = new Map<string, number>();

  constructor(
    private readonly file: RandomAccess,
    private readonly directory: ZipDirectory,
    private readonly root: string,
  ) {}

  async beginOf({ key, dtype, size }: Storage): Promise<number> {
    const known = this.#begins.get(key);
    if (known !== undefined) return known;
    const entry = this.directory.entries.get(`${this.root}data/${key}`);
    if (!entry) throw damaged(this.file.path, `its storage ${shown(key)} is missing`);
    if (tensorBytes(dtype, [size]) !== entry.sizeBytes) {
      const should = `where ${size} elements of ${dtype} should be`;
      throw damaged(this.file.path, `its storage ${shown(key)} has ${entry.sizeBytes} bytes ${should}`);
    }
    const begin = await locateEntry(this.file, entry);
    this.#begins.set(key, begin);
    return begin;
  }
}

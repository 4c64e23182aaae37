/**
 * torch's format before 1.6 (torch.serialization's _legacy_load): five pickles, of a magic number, a version, the
 * writing machine, the dict, and the storages' keys; then each storage as a count of elements and the
 * elements themselves.
 */
import { DTYPE_BYTES } from "@gradpool/safetensors";
import type { PickleValue, Storage } from "./pickle-values.js";
import { damaged, MAX_PICKLE_BYTES, type RandomAccess, shown } from "./random-access.js";
import { refuse, tensorsOf, type TorchFile } from "./state-dict.js";
import { unpickle } from "./unpickle.js";

/** The pickled number 0x1950a86a20f9469cfc6c. */
const MAGIC = Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex");
const VERSION = 1001;
const COUNT_BYTES = 8;

export const isOldFile = (first: Uint8Array): boolean => MAGIC.equals(first.subarray(0, MAGIC.byteLength));

/** Errors: as for readTorchFile. */
export async function readOldFile(file: RandomAccess): Promise<TorchFile> {
  const bytes = await file.read(0, Math.min(file.sizeBytes, MAX_PICKLE_BYTES));
  let at = MAGIC.byteLength;
  const next = () => {
    const pickle = unpickle(bytes.subarray(at), file.path);
    at += pickle.bytesRead;
    return pickle;
  };
  const version = next().value;
  if (version !== VERSION) throw refuse(file, `its format has the unknown version ${shown(String(version))}`);
  const machine = next().value;
  if (!(machine instanceof Map) || machine.get("little_endian") !== true)
    throw refuse(file, "its byte order is not little");
  const { value: stateDict, storages } = next();
  const keys = next().value;
  const begins = await locateStorages(file, keys, storages, at);
  const found = await tensorsOf(file, stateDict, ({ key }) => begins.get(key) as number);
  return { ...found, fingerprint: bytes.subarray(0, at) };
}

/** Byte offsets of the storages' elements, which fill the file from `beginsAt` to its end in the order of `keys`. */
async function locateStorages(
  file: RandomAccess,
  keys: PickleValue,
  storages: ReadonlyMap<string, Storage>,
  beginsAt: number,
): Promise<Map<string, number>> {
  const begins = new Map<string, number>();
  let at = beginsAt;
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (!storage || begins.has(storage.key)) throw damaged(file.path, "its list of storages does not fit its tensors");
    const count = await file.read(at, COUNT_BYTES);
    const sizeBytes = storage.size * DTYPE_BYTES[storage.dtype];
    begins.set(storage.key, at + COUNT_BYTES);
    at += COUNT_BYTES + sizeBytes;
    if (!(at <= file.sizeBytes))
      throw damaged(file.path, `its storage ${shown(storage.key)} is beyond the end of the file`);
    if (Buffer.from(count).readBigUInt64LE() !== BigInt(storage.size)) {
      throw damaged(file.path, `its storage ${shown(storage.key)} does not have its ${storage.size} elements`);
    }
  }
  if (begins.size !== storages.size) throw damaged(file.path, "its list of storages does not fit its tensors");
  if (at !== file.sizeBytes) throw damaged(file.path, `${file.sizeBytes - at} bytes follow its last storage`);
  return begins;
}

/**
 * The table of contents of a zip archive (PKWARE's APPNOTE.TXT), as far as torch.save writes them: entries
 * stored without compression, sizes beyond 4 GB in zip64 fields. Everything the file claims is checked
 * before anything is allocated for it.
 */
import { GradpoolError } from "@gradpool/errors";
import { damaged, type RandomAccess, shown } from "./random-access.js";

const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const ZIP64_LOCATOR_BYTES = 20;
const ZIP64_END_BYTES = 56;
const DIRECTORY_ENTRY_BYTES = 46;
const LOCAL_HEADER_BYTES = 30;

const MAX_DIRECTORY_BYTES = 100_000_000;
const ENCRYPTED = 1;
const STORED = 0;
const UINT32_MAX = 0xffffffff;
const ZIP64_FIELDS = 1;

export interface ZipEntry {
  name: string;
  crc32: number;
  sizeBytes: number;
  /** Byte offset of the local header. */
  headerAt: number;
  /** Where the next entry, or the directory, begins. */
  limit: number;
}

export interface ZipDirectory {
  /** In the order of their place in the file. */
  entries: ReadonlyMap<string, ZipEntry>;
  /** The directory's bytes, which hold every entry's size and CRC-32. */
  bytes: Uint8Array;
}

/** Errors: `data_loss` for a damaged archive, `failed_precondition` for compressed or encrypted entries. */
export async function readZipDirectory(file: RandomAccess): Promise<ZipDirectory> {
  const { at, bytes: length, entries: count } = await findDirectory(file);
  if (length > MAX_DIRECTORY_BYTES || at + length > file.sizeBytes) {
    throw damaged(file.path, `its zip directory claims ${length} bytes at ${at}`);
  }
  if (count * DIRECTORY_ENTRY_BYTES > length) {
    throw damaged(file.path, `its zip directory claims ${count} entries in ${length} bytes`);
  }
  const bytes = await file.read(at, length);
  const list: Omit<ZipEntry, "limit">[] = [];
  let next = 0;
  for (let i = 0; i < count; i++) {
    const { entry, bytes: taken } = readDirectoryEntry(file, bytes, next);
    next += taken;
    list.push(entry);
  }
  list.sort((a, b) => a.headerAt - b.headerAt);
  const entries = new Map<string, ZipEntry>();
  for (const [i, entry] of list.entries()) {
    const limit = list[i + 1]?.headerAt ?? at;
    if (entries.has(entry.name)) throw damaged(file.path, `it holds ${shown(entry.name)} twice`);
    if (entry.headerAt + LOCAL_HEADER_BYTES + entry.sizeBytes > limit) throw overlaps(file, entry);
    entries.set(entry.name, { ...entry, limit });
  }
  return { entries, bytes };
}

function overlaps(file: RandomAccess, { name }: { name: string }): GradpoolError {
  return damaged(file.path, `its entry ${shown(name)} overlaps what follows it`);
}

/** Byte offset of an entry's contents. Errors: `data_loss` when they are not where the directory says. */
export async function locateEntry(file: RandomAccess, entry: ZipEntry): Promise<number> {
  const header = viewOf(await file.read(entry.headerAt, LOCAL_HEADER_BYTES));
  if (header.byteLength < LOCAL_HEADER_BYTES || header.getUint32(0, true) !== 0x04034b50) {
    throw damaged(file.path, `its entry ${shown(entry.name)} is not where its directory says`);
  }
  const begin = entry.headerAt + LOCAL_HEADER_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  if (begin + entry.sizeBytes > entry.limit) throw overlaps(file, entry);
  return begin;
}

async function findDirectory(file: RandomAccess): Promise<{ at: number; bytes: number; entries: number }> {
  const tailAt = Math.max(0, file.sizeBytes - END_BYTES - MAX_COMMENT_BYTES);
  const tail = await file.read(tailAt, file.sizeBytes - tailAt);
  const view = viewOf(tail);
  for (let i = tail.byteLength - END_BYTES; i >= 0; i--) {
    if (view.getUint32(i, true) !== 0x06054b50 || i + END_BYTES + view.getUint16(i + 20, true) !== tail.byteLength)
      continue;
    const end = {
      entries: view.getUint16(i + 10, true),
      bytes: view.getUint32(i + 12, true),
      at: view.getUint32(i + 16, true),
    };
    const isZip64 = end.entries === 0xffff || end.bytes === UINT32_MAX || end.at === UINT32_MAX;
    return isZip64 ? findZip64Directory(file, tailAt + i) : end;
  }
  throw damaged(file.path, "it has no zip directory");
}

async function findZip64Directory(file: RandomAccess, endAt: number) {
  const fail = () => damaged(file.path, "it has no zip64 directory where it should be");
  const locator = viewOf(await file.read(Math.max(0, endAt - ZIP64_LOCATOR_BYTES), ZIP64_LOCATOR_BYTES));
  if (locator.byteLength < ZIP64_LOCATOR_BYTES || locator.getUint32(0, true) !== 0x07064b50) throw fail();
  const at = safeNumber(locator, 8);
  if (at === undefined || at > file.sizeBytes - ZIP64_END_BYTES) throw fail();
  const end = viewOf(await file.read(at, ZIP64_END_BYTES));
  if (end.byteLength < ZIP64_END_BYTES || end.getUint32(0, true) !== 0x06064b50) throw fail();
  const [entries, bytes, beginsAt] = [safeNumber(end, 32), safeNumber(end, 40), safeNumber(end, 48)];
  if (entries === undefined || bytes === undefined || beginsAt === undefined) throw fail();
  return { entries, bytes, at: beginsAt };
}

function readDirectoryEntry(
  file: RandomAccess,
  directory: Uint8Array,
  at: number,
): { entry: Omit<ZipEntry, "limit">; bytes: number } {
  const rest = directory.subarray(at);
  const view = viewOf(rest);
  if (rest.byteLength < DIRECTORY_ENTRY_BYTES || view.getUint32(0, true) !== 0x02014b50) {
    throw damaged(file.path, "its zip directory is truncated");
  }
  const nameBytes = view.getUint16(28, true);
  const extraBytes = view.getUint16(30, true);
  const bytes = DIRECTORY_ENTRY_BYTES + nameBytes + extraBytes + view.getUint16(32, true);
  if (bytes > rest.byteLength) throw damaged(file.path, "its zip directory is truncated");
  const nameEnd = DIRECTORY_ENTRY_BYTES + nameBytes;
  const name = new TextDecoder("utf-8", { ignoreBOM: true }).decode(rest.subarray(DIRECTORY_ENTRY_BYTES, nameEnd));
  const packed = {
    sizeBytes: view.getUint32(24, true),
    storedBytes: view.getUint32(20, true),
    headerAt: view.getUint32(42, true),
  };
  const { sizeBytes, storedBytes, headerAt } = withZip64(file, rest.subarray(nameEnd, nameEnd + extraBytes), packed);
  if ((view.getUint16(8, true) & ENCRYPTED) !== 0) throw unsupported(file, name, "encrypted");
  if (view.getUint16(10, true) !== STORED || sizeBytes !== storedBytes) throw unsupported(file, name, "compressed");
  return { entry: { name, crc32: view.getUint32(16, true), sizeBytes, headerAt }, bytes };
}

interface Packed {
  sizeBytes: number;
  storedBytes: number;
  headerAt: number;
}

/** Fields of 0xFFFFFFFF are in the zip64 extra field instead, in this order and only those. */
function withZip64(file: RandomAccess, extra: Uint8Array, packed: Packed): Packed {
  const keys = (["sizeBytes", "storedBytes", "headerAt"] as const).filter((key) => packed[key] === UINT32_MAX);
  if (keys.length === 0) return packed;
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === ZIP64_FIELDS && length >= 8 * keys.length && at + 4 + length <= extra.byteLength) {
      const values = keys.map((_, i) => safeNumber(view, at + 4 + 8 * i));
      if (!values.includes(undefined))
        return { ...packed, ...Object.fromEntries(keys.map((key, i) => [key, values[i]])) };
    }
    at += 4 + length;
  }
  throw damaged(file.path, "an entry of its zip directory lacks its zip64 sizes");
}

function unsupported(file: RandomAccess, name: string, how: string): GradpoolError {
  const message = `${file.path}: its entry ${shown(name)} is ${how}, which torch.save never does; save the model again, preferably as safetensors`;
  return new GradpoolError("failed_precondition", message);
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function safeNumber(view: DataView, at: number): number | undefined {
  const value = Number(view.getBigUint64(at, true));
  return Number.isSafeInteger(value) ? value : undefined;
}

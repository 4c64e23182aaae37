/**
 * Up to where the write-ahead log is confirmed, in a small file beside it. SQLite takes a log to end before its first damaged
 * frame, since a crash leaves such a frame of a transaction that nobody was told of; so damage would take confirmed
 * transactions along without a word. The format of the log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** Two numbers that a log's header and each of its valid frames have in common. */
const SALTS_BYTES = 8;
/** What a log begins with whose checksums are of little-endian numbers, as WebAssembly's are. */
const MAGIC = 0x377f0682;

/** A place in a log: after that many of its frames, the last of which ends a transaction. */
interface Place {
  salts: Buffer;
  frames: number;
  /** The running checksum there. */
  sums: Sums;
}

type Sums = readonly [number, number];

/** Keeps the note about a database's log up to date. */
export class ConfirmedLog {
  readonly #logPath: string;
  readonly #note: number;
  #log: number | undefined;
  #place: Place | undefined;

  /** `path`: of the database. */
  constructor(path: string) {
    this.#logPath = `${path}-wal`;
    this.#note = openSync(noteOf(path), "w");
    // So that later writes need no space.
    this.#keep();
  }

  /** After each transaction, which is synced by then. */
  advance(): void {
    this.#log ??= existsSync(this.#logPath) ? openSync(this.#logPath, "r") : undefined;
    if (this.#log === undefined) return;
    this.#place = endOf(this.#log, this.#place);
    this.#keep();
  }

  /** Before the database is closed, which removes the log. */
  close(): void {
    this.#place = undefined;
    this.#keep();
    closeSync(this.#note);
    if (this.#log !== undefined) closeSync(this.#log);
  }

  /** Not synced: a note that is too old only lets damage pass that happens along with a loss of power. */
  #keep(): void {
    const note = Buffer.alloc(SALTS_BYTES + 4);
    this.#place?.salts.copy(note);
    note.writeUInt32BE(this.#place?.frames ?? 0, SALTS_BYTES);
    try {
      writeSync(this.#note, Buffer.concat([note, checksumOf(note)]), 0, undefined, 0);
    } catch {
      // The transaction is confirmed all the same.
    }
  }
}

/** The file that has the note about a database's log. */
const noteOf = (path: string): string => `${path}.confirmed`;

/** What is missing from the log of a database that no process uses: confirmed transactions; undefined: nothing. */
export function missingFromLog(path: string): string | undefined {
  const note = readNote(noteOf(path));
  if (!note?.frames || !existsSync(`${path}-wal`)) return undefined;
  const log = openSync(`${path}-wal`, "r");
  try {
    const end = endOf(log);
    if (!end) return "the header of its write-ahead log";
    // Begun again since: all that was confirmed before is in the database itself.
    if (!end.salts.equals(note.salts) || end.frames >= note.frames) return undefined;
    return `its write-ahead log, of which ${end.frames} of ${note.frames} confirmed pages can be read`;
  } finally {
    closeSync(log);
  }
}

/** The end of the last transaction that is whole, looked for from a place on; undefined: the log has no valid header. */
function endOf(log: number, from?: Place): Place | undefined {
  const header = bytesAt(log, 0, Buffer.alloc(HEADER_BYTES));
  const salts = header.subarray(16, 24);
  const start = summed([0, 0], header, 0, 24);
  if (header.readUInt32BE(0) !== MAGIC || !areAt(header, 24, start)) return undefined;
  let end = from?.salts.equals(salts) ? from : { salts, frames: 0, sums: start };
  let { sums } = end;
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + header.readUInt32BE(8));
  for (let n = end.frames; ; n++) {
    bytesAt(log, HEADER_BYTES + n * frame.byteLength, frame);
    sums = summed(summed(sums, frame, 0, 8), frame, FRAME_HEADER_BYTES, frame.byteLength);
    if (!salts.equals(frame.subarray(8, 16)) || !areAt(frame, 16, sums)) return end;
    // The last frame of a transaction has the size of the database.
    if (frame.readUInt32BE(4) !== 0) end = { salts, frames: n + 1, sums };
  }
}

function summed([first, second]: Sums, bytes: Buffer, from: number, to: number): Sums {
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at < to; at += 8) {
    first = (first + numbers.getUint32(at, true) + second) | 0;
    second = (second + numbers.getUint32(at + 4, true) + first) | 0;
  }
  return [first, second];
}

const areAt = (bytes: Buffer, at: number, [first, second]: Sums): boolean =>
  bytes.readInt32BE(at) === first && bytes.readInt32BE(at + 4) === second;

/** Undefined when it is missing or damaged: then nothing is known. */
function readNote(path: string): Pick<Place, "salts" | "frames"> | undefined {
  if (!existsSync(path)) return undefined;
  const bytes = readFileSync(path);
  const note = bytes.subarray(0, SALTS_BYTES + 4);
  if (note.length < SALTS_BYTES + 4 || !checksumOf(note).equals(bytes.subarray(SALTS_BYTES + 4))) return undefined;
  return { salts: note.subarray(0, SALTS_BYTES), frames: note.readUInt32BE(SALTS_BYTES) };
}

const checksumOf = (note: Buffer): Buffer => createHash("sha256").update(note).digest().subarray(0, 8);

/** Fills `bytes` from the file, with zeros where it has ended. */
function bytesAt(file: number, position: number, bytes: Buffer): Buffer {
  return bytes.fill(0, readSync(file, bytes, 0, bytes.byteLength, position));
}

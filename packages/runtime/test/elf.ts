/** Writes the smallest shared libraries for x86-64 that a dynamic loader takes: for its own words about what is missing. */

const [HEADER_BYTES, PROGRAM_HEADER_BYTES, SYMBOL_BYTES, DYNAMIC_BYTES] = [64, 56, 24, 16];
const [PT_LOAD, PT_DYNAMIC, PT_GNU_STACK] = [1, 2, 0x6474e551];
const [READ_EXECUTE, READ_WRITE] = [5, 6];
const [DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT] = [1n, 4n, 5n, 6n, 10n, 11n];
/** Global function. */
const FUNCTION = 0x12;
const RETURN = 0xc3;

export interface SharedLibrary {
  /** Libraries that must be found for it to load. */
  needed?: readonly string[];
  /** Functions that do nothing. */
  functions?: readonly string[];
}

/** Bytes of the library: one segment, loaded at its own offsets. */
export function sharedLibrary({ needed = [], functions = [] }: SharedLibrary): Uint8Array {
  const names = ["", ...needed, ...functions];
  const nameAt = new Map<string, number>();
  let strings = "";
  for (const name of names) {
    nameAt.set(name, strings.length);
    strings += `${name}\0`;
  }
  const symbols = functions.length + 1;
  const at = { hash: HEADER_BYTES + 3 * PROGRAM_HEADER_BYTES, symbols: 0, dynamic: 0, strings: 0, code: 0 };
  // Hash table of one bucket, through which all symbols are chained.
  at.symbols = align(at.hash + 4 * (3 + symbols));
  at.dynamic = align(at.symbols + symbols * SYMBOL_BYTES);
  const dynamicBytes = (needed.length + 6) * DYNAMIC_BYTES;
  at.strings = at.dynamic + dynamicBytes;
  at.code = at.strings + strings.length;
  const bytes = Buffer.alloc(at.code + 1);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(62, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  for (const [offset, value] of [
    [52, HEADER_BYTES],
    [54, PROGRAM_HEADER_BYTES],
    [56, 3],
    [58, 64],
  ] as const) {
    bytes.writeUInt16LE(value, offset);
  }
  const segments: [type: number, flags: number, offset: number, size: number][] = [
    [PT_LOAD, READ_EXECUTE | READ_WRITE, 0, bytes.length],
    [PT_DYNAMIC, READ_WRITE, at.dynamic, dynamicBytes],
    [PT_GNU_STACK, READ_WRITE, 0, 0],
  ];
  for (const [i, [type, flags, offset, size]] of segments.entries()) {
    const start = HEADER_BYTES + i * PROGRAM_HEADER_BYTES;
    bytes.writeUInt32LE(type, start);
    bytes.writeUInt32LE(flags, start + 4);
    for (const field of [8, 16, 24]) bytes.writeBigUInt64LE(BigInt(offset), start + field);
    for (const field of [32, 40]) bytes.writeBigUInt64LE(BigInt(size), start + field);
    bytes.writeBigUInt64LE(type === PT_LOAD ? 0x1000n : 8n, start + 48);
  }

  bytes.writeUInt32LE(1, at.hash);
  bytes.writeUInt32LE(symbols, at.hash + 4);
  bytes.writeUInt32LE(symbols > 1 ? 1 : 0, at.hash + 8);
  for (let i = 1; i < symbols; i++) bytes.writeUInt32LE(i + 1 < symbols ? i + 1 : 0, at.hash + 12 + 4 * i);
  for (const [i, name] of functions.entries()) {
    const start = at.symbols + (i + 1) * SYMBOL_BYTES;
    bytes.writeUInt32LE(nameAt.get(name) ?? 0, start);
    bytes.writeUInt8(FUNCTION, start + 4);
    bytes.writeUInt16LE(1, start + 6);
    bytes.writeBigUInt64LE(BigInt(at.code), start + 8);
    bytes.writeBigUInt64LE(1n, start + 16);
  }
  const entries: [tag: bigint, value: number][] = [
    ...needed.map((name): [bigint, number] => [DT_NEEDED, nameAt.get(name) ?? 0]),
    [DT_HASH, at.hash],
    [DT_STRTAB, at.strings],
    [DT_SYMTAB, at.symbols],
    [DT_STRSZ, strings.length],
    [DT_SYMENT, SYMBOL_BYTES],
  ];
  for (const [i, [tag, value]] of entries.entries()) {
    bytes.writeBigUInt64LE(tag, at.dynamic + i * DYNAMIC_BYTES);
    bytes.writeBigUInt64LE(BigInt(value), at.dynamic + i * DYNAMIC_BYTES + 8);
  }
  bytes.write(strings, at.strings, "latin1");
  bytes.writeUInt8(RETURN, at.code);
  return bytes;
}

const align = (offset: number) => Math.ceil(offset / 8) * 8;

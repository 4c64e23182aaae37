import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { readTorchFile, type TorchFile } from "@gradpool/torch-file";

/** The fixture's bytes; see fixtures/make_fixtures.py. */
export const fixture = (name: string): Buffer => readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url));

/** Reads a file in memory, as if from a disk. */
export function readBytes(bytes: Uint8Array): Promise<TorchFile> {
  const read = (offset: number, length: number) => Promise.resolve(bytes.slice(offset, offset + length));
  return readTorchFile({ path: "weights.bin", sizeBytes: bytes.byteLength, read });
}

export async function refuses(bytes: Uint8Array, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(readBytes(bytes), (error: unknown) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    assert.ok(error.message.length < 600);
    return true;
  });
}

/** A zip archive with entries stored as they are, like those of torch. */
export function zipOf(entries: Readonly<Record<string, Uint8Array>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, data] of Object.entries(entries)) {
    const nameBytes = Buffer.from(name);
    const shared = Buffer.alloc(26);
    shared.writeUInt32LE(crc32(data), 10);
    shared.writeUInt32LE(data.byteLength, 14);
    shared.writeUInt32LE(data.byteLength, 18);
    shared.writeUInt16LE(nameBytes.byteLength, 22);
    const headerAt = Buffer.alloc(14);
    headerAt.writeUInt32LE(at, 10);
    directory.push(uint32(0x02014b50), uint16(0), shared, headerAt, nameBytes);
    const local = [uint32(0x04034b50), shared, nameBytes, data];
    for (const part of local) at += part.byteLength;
    parts.push(Buffer.concat(local));
  }
  const table = Buffer.concat(directory);
  const count = Object.keys(entries).length;
  const end = [
    uint32(0x06054b50),
    uint32(0),
    uint16(count),
    uint16(count),
    uint32(table.byteLength),
    uint32(at),
    uint16(0),
  ];
  return Buffer.concat([...parts, table, ...end]);
}

/** A torch file of this pickle, given as opcodes in Latin-1 without PROTO and STOP. */
export function torchFileOf(pickle: string, storages: Readonly<Record<string, Uint8Array>> = {}): Buffer {
  const entries: Record<string, Uint8Array> = { "archive/data.pkl": Buffer.from(`\x80\x02${pickle}.`, "latin1") };
  for (const [key, data] of Object.entries(storages)) entries[`archive/data/${key}`] = data;
  return zipOf(entries);
}

export const unicode = (text: string): string =>
  `X${uint32(Buffer.byteLength(text)).toString("latin1")}${Buffer.from(text).toString("latin1")}`;
const integer = (value: number): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return `\x8a\x08${bytes.toString("latin1")}`;
};
const tuple = (...items: string[]): string => `(${items.join("")}t`;

export interface TensorSpec {
  key?: string;
  type?: string;
  elements?: number;
  offset?: number;
  shape?: number[];
  strides?: number[];
}

/** Opcodes of a call that rebuilds a tensor, [2, 2] of float32 by default. */
export function tensorOf(spec: TensorSpec = {}): string {
  const { key = "0", type = "torch\nFloatStorage", elements = 4, offset = 0, shape = [2, 2], strides = [2, 1] } = spec;
  const storage = `${tuple(unicode("storage"), `c${type}\n`, unicode(key), unicode("cpu"), integer(elements))}Q`;
  const args = tuple(
    storage,
    integer(offset),
    tuple(...shape.map(integer)),
    tuple(...strides.map(integer)),
    "\x89",
    "ccollections\nOrderedDict\n)R",
  );
  return `ctorch._utils\n_rebuild_tensor_v2\n${args}R`;
}

/** Opcodes of a dict. */
export const dictOf = (entries: Readonly<Record<string, string>>): string =>
  `}(${Object.entries(entries)
    .map(([key, value]) => unicode(key) + value)
    .join("")}u`;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

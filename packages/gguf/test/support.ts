import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { parseGguf, type GgufFile } from "@gradpool/gguf";

export const fixture = (name: string): Buffer => readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url));

/** A model of integration-tests/fixtures/gguf. */
export const modelFixture = (name: string): Buffer =>
  readFileSync(new URL(`../../../../integration-tests/fixtures/gguf/${name}`, import.meta.url));

export function parse(bytes: Uint8Array): GgufFile {
  const file = parseGguf(bytes, bytes.byteLength, "model.gguf");
  assert.ok(file, "the header continues after the file");
  return file;
}

/** Matcher for assert.throws. */
export function failure(code: ErrorCode, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GradpoolError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /\n/);
    assert.ok(error.message.length < 800);
    return true;
  };
}

export type Field = string | number | bigint | boolean | readonly string[] | { int32: readonly number[] } | Buffer;

export interface TensorSpec {
  name: string;
  /** Fastest dimension first, as in files. */
  dims: readonly (number | bigint)[];
  type?: number;
  offset?: number | bigint;
}

/** A GGUF file with these fields and tensors, and this many bytes of data. A Buffer is a value as it is, type and all. */
export function ggufOf(
  fields: Readonly<Record<string, Field>>,
  tensors: readonly TensorSpec[] = [],
  { dataBytes = 0, version = 3, tensorCount = tensors.length, fieldCount = Object.keys(fields).length } = {},
): Buffer {
  const head = [
    Buffer.from("GGUF"),
    uint32(version),
    uint64(tensorCount),
    uint64(fieldCount),
    ...Object.entries(fields).flatMap(([key, value]) => [text(key), valueOf(value)]),
    ...tensors.flatMap(({ name, dims, type = 0, offset = 0 }) => [
      text(name),
      uint32(dims.length),
      ...dims.map(uint64),
      uint32(type),
      uint64(offset),
    ]),
  ];
  const header = Buffer.concat(head);
  const padding = (32 - (header.byteLength % 32)) % 32;
  return Buffer.concat([header, Buffer.alloc(padding + dataBytes)]);
}

function valueOf(value: Field): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === "string") return Buffer.concat([uint32(8), text(value)]);
  if (typeof value === "boolean") return Buffer.concat([uint32(7), Buffer.from([value ? 1 : 0])]);
  if (typeof value === "bigint") return Buffer.concat([uint32(10), uint64(value)]);
  if (typeof value === "number") {
    if (Number.isInteger(value)) return Buffer.concat([uint32(4), uint32(value)]);
    const float = Buffer.alloc(4);
    float.writeFloatLE(value);
    return Buffer.concat([uint32(6), float]);
  }
  if ("int32" in value) {
    return Buffer.concat([uint32(9), uint32(5), uint64(value.int32.length), ...value.int32.map(uint32)]);
  }
  return Buffer.concat([uint32(9), uint32(8), uint64(value.length), ...value.map(text)]);
}

/** An array that claims more than it has. */
export const arrayOf = (type: number, length: number | bigint): Buffer =>
  Buffer.concat([uint32(9), uint32(type), uint64(length)]);

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(bytes.byteLength), bytes]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

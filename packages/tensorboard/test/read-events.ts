/** Reads event files byte by byte, knowing nothing of what wrote them. */
import assert from "node:assert/strict";
import { maskedCrc32c } from "../src/crc32c.js";

export interface ReadEvent {
  wallTime: number;
  step: number;
  fileVersion?: string;
  scalars: Record<string, number>;
}

/** Fails when a checksum, a length or a field is not what event files have. */
export function readEvents(file: Uint8Array): ReadEvent[] {
  const events: ReadEvent[] = [];
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 0;
  while (at < file.byteLength) {
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(file.subarray(at, at + 8)), `length at ${at}`);
    const length = Number(view.getBigUint64(at, true));
    const record = file.subarray(at + 12, at + 12 + length);
    assert.equal(view.getUint32(at + 12 + length, true), maskedCrc32c(record), `record at ${at}`);
    events.push(readEvent(record));
    at += length + 16;
  }
  assert.equal(at, file.byteLength);
  return events;
}

const text = new TextDecoder("utf-8", { fatal: true });

function readEvent(record: Uint8Array): ReadEvent {
  const event: ReadEvent = { wallTime: 0, step: 0, scalars: {} };
  for (const [number, value] of fieldsOf(record)) {
    if (number === 1) event.wallTime = doubleOf(value);
    else if (number === 2) event.step = Number(value);
    else if (number === 3) event.fileVersion = text.decode(bytesOf(value));
    else if (number === 5) {
      for (const [inner, scalar] of fieldsOf(bytesOf(value))) {
        assert.equal(inner, 1);
        const fields = new Map(fieldsOf(bytesOf(scalar)));
        assert.deepEqual([...fields.keys()], [1, 2]);
        const tag = text.decode(bytesOf(fields.get(1)));
        assert.ok(!(tag in event.scalars), `${tag} twice`);
        event.scalars[tag] = floatOf(fields.get(2));
      }
    } else assert.fail(`field ${number}`);
  }
  return event;
}

/** The fields of a protobuf message: varints as bigint, others as their bytes. */
function fieldsOf(message: Uint8Array): [number: number, value: bigint | Uint8Array][] {
  const fields: [number, bigint | Uint8Array][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? assert.fail("ends within a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.byteLength) {
    const key = Number(varint());
    const wireType = key & 7;
    if (wireType === 0) fields.push([key >> 3, varint()]);
    else {
      const length = wireType === 1 ? 8 : wireType === 5 ? 4 : Number(varint());
      fields.push([key >> 3, message.subarray(at, at + length)]);
      at += length;
    }
  }
  return fields;
}

function bytesOf(value: bigint | Uint8Array | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : assert.fail("is not a field of bytes");
}

function viewOf(value: bigint | Uint8Array | undefined): DataView {
  const bytes = bytesOf(value);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const doubleOf = (value: bigint | Uint8Array | undefined) => viewOf(value).getFloat64(0, true);
const floatOf = (value: bigint | Uint8Array | undefined) => viewOf(value).getFloat32(0, true);

import { damaged } from "./random-access.js";

/** A pickle's bytes, read in order. Errors: `data_loss` at their end. */
export class PickleBytes {
  at = 0;
  readonly #view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly path: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.#view.getUint8(this.take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.take(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.take(4), true);
  }

  /** Big-endian, as the opcode has it. */
  float64(): number {
    return this.#view.getFloat64(this.take(8));
  }

  /** Signed, of this many bytes. Errors: `data_loss` beyond 2^53. */
  longInteger(length: number): number {
    const at = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i] ?? 0);
    const signed = Number(BigInt.asIntN(8 * Math.max(1, length), value));
    if (!Number.isSafeInteger(signed)) throw damaged(this.path, "its pickle has a number too large for any file");
    return signed;
  }

  text(length: number): string {
    const at = this.take(length);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.bytes.subarray(at, at + length));
  }

  /** Up to a line feed, which is taken as well. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const text = this.text((end < 0 ? Infinity : end) - this.at);
    this.at++;
    return text;
  }

  /** Offset of the next `length` bytes, which are taken. */
  take(length: number): number {
    const { at } = this;
    if (at + length > this.bytes.byteLength) throw damaged(this.path, "its pickle is truncated");
    this.at += length;
    return at;
  }
}

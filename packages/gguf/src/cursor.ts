/** Thrown when a header continues after the bytes read so far. */
export class HeaderTooShort extends Error {}

/** Reads little-endian values one after the other. Throws HeaderTooShort at the end. */
export class Cursor {
  at = 0;
  readonly #view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.byteLength - this.at;
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Beyond 2^53 rounded, and so not a safe integer. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  slice(length: number): Uint8Array {
    const at = this.#take(length);
    return this.bytes.subarray(at, at + length);
  }

  text(): string {
    // A token may be U+FEFF, which is text here, not a mark.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.slice(this.uint64()));
  }

  #take(length: number): number {
    if (!(length <= this.left)) throw new HeaderTooShort();
    const { at } = this;
    this.at += length;
    return at;
  }
}

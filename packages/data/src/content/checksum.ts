import xxhash from "xxhash-wasm";

const { create64 } = await xxhash();

/** XXH64 with seed 0, of whose value zstd stores the lower 32 bits (RFC 8878, 3.1.1). */
export class Checksum {
  readonly #hash = create64();

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** The lower 32 bits. */
  value(): number {
    return Number(this.#hash.digest() & 0xffffffffn);
  }
}

import { GradpoolError } from "@gradpool/errors";
import { MAX_COMPRESSION_RATIO, MAX_DECOMPRESSED_BYTES, RATIO_FREE_BYTES } from "../limits.js";

/** Counts what a compressed file expands to, and stops at a decompression bomb. */
export class Expansion {
  readonly #name: string;
  #outBytes = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Errors: `invalid_argument` above MAX_DECOMPRESSED_BYTES or, beyond RATIO_FREE_BYTES, MAX_COMPRESSION_RATIO. */
  add(outBytes: number, inBytes: number): void {
    this.#outBytes += outBytes;
    const ratio = this.#outBytes / Math.max(1, inBytes);
    if (this.#outBytes > MAX_DECOMPRESSED_BYTES) this.#refuse(`to more than ${MAX_DECOMPRESSED_BYTES} bytes`);
    if (this.#outBytes > RATIO_FREE_BYTES && ratio > MAX_COMPRESSION_RATIO) {
      this.#refuse(`to more than ${MAX_COMPRESSION_RATIO} times its size`);
    }
  }

  #refuse(what: string): never {
    const message = `${this.#name} decompresses ${what}, which no text does; if that is right, decompress it first`;
    throw new GradpoolError("invalid_argument", message);
  }
}

export function damaged(name: string, what: string, cause?: unknown): GradpoolError {
  return new GradpoolError("data_loss", `${name} is damaged: ${what}; download it again`, { cause });
}

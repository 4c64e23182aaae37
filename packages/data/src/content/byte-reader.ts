import type { ByteSource } from "../byte-source.js";

/** Takes the bytes of a source in pieces of any size. */
export class ByteReader implements AsyncDisposable {
  readonly name: string;
  /** Bytes up to here have been taken. */
  offset: number;
  readonly #pieces: AsyncIterator<Uint8Array>;
  /** Returned pieces, the last one taken next. */
  readonly #returned: Buffer[] = [];

  constructor(source: ByteSource, start: number, signal: AbortSignal) {
    this.name = source.name;
    this.offset = start;
    this.#pieces = source.read({ start, signal })[Symbol.asyncIterator]();
  }

  /** Some bytes, or undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    const returned = this.#returned.pop();
    if (returned) {
      this.offset += returned.length;
      return returned;
    }
    for (;;) {
      const { done, value } = await this.#pieces.next();
      if (done) return undefined;
      if (value.length === 0) continue;
      this.offset += value.length;
      return Buffer.from(value.buffer, value.byteOffset, value.length);
    }
  }

  /** Gives bytes back: they are taken next. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#returned.push(bytes);
    this.offset -= bytes.length;
  }

  /** This many bytes; fewer at the end. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = count; missing > 0;) {
      const bytes = await this.next();
      if (bytes === undefined) break;
      if (bytes.length > missing) this.unread(bytes.subarray(missing));
      parts.push(bytes.subarray(0, missing));
      missing -= Math.min(missing, bytes.length);
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return?.();
  }
}

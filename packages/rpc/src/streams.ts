import type { Writable } from "node:stream";

/** Bytes per message of a bulk stream: the fastest size with grpc-js. */
export const CHUNK_BYTES = 1 << 20;

/** Messages of a stream that wait to be sent, at most: enough for any speed, and little when nobody reads. */
const MAX_UNSENT = 4;

/**
 * Writes all messages, waiting whenever the receiver is slower. Returns early when `signal` aborts;
 * the stream's own error is left to its reader.
 */
export async function writeAll<T>(stream: Writable, messages: AsyncIterable<T>, signal: AbortSignal): Promise<void> {
  let unsent = 0;
  let wake = () => {};
  const sent = () => {
    unsent -= 1;
    wake();
  };
  const stop = () => wake();
  signal.addEventListener("abort", stop);
  try {
    for await (const message of messages) {
      if (signal.aborted) return;
      unsent += 1;
      stream.write(message, sent);
      while (unsent >= MAX_UNSENT && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Views of consecutive pieces of `bytes`, none larger than CHUNK_BYTES. */
export function* chunks(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += CHUNK_BYTES) {
    yield bytes.subarray(start, start + CHUNK_BYTES);
  }
}

/** All pieces in one fresh, aligned buffer. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.byteLength;
  }
  return whole;
}

/** Messages for a stream: pushed at any time, read once, in order. */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #messages: T[] = [];
  #ended = false;
  #wake = () => {};

  /** Messages not yet taken. */
  get length(): number {
    return this.#messages.length;
  }

  /** Has no effect after `end`. */
  push(message: T): void {
    if (this.#ended) return;
    this.#messages.push(message);
    this.#wake();
  }

  /** Lets the reader finish after the last message. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      while (this.#messages.length > 0) yield this.#messages.shift() as T;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

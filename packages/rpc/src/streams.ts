import { once } from "node:events";
import type { Writable } from "node:stream";

/** Bytes per message of a bulk stream: the fastest size with grpc-js. */
export const CHUNK_BYTES = 1 << 20;

/**
 * Writes all messages, waiting whenever the receiver is behind. Returns early when `signal` aborts;
 * the stream's own error is left to its reader.
 */
export async function writeAll<T>(stream: Writable, messages: AsyncIterable<T>, signal: AbortSignal): Promise<void> {
  for await (const message of messages) {
    if (signal.aborted) return;
    if (!stream.write(message)) {
      try {
        await once(stream, "drain", { signal });
      } catch {
        return;
      }
    }
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

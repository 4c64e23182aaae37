import { addAbortSignal, type Readable } from "node:stream";
import { GradpoolError } from "@gradpool/errors";

/** More than any model has positions for. */
const MAX_PROMPT_BYTES = 16 << 20;

/** The text that --prompt names: "-" stands for all of standard input. Errors: `invalid_argument`. */
export async function readPrompt(prompt: string, stdin: Readable, signal: AbortSignal): Promise<string> {
  if (prompt !== "-") return prompt;
  const refuse = (problem: string) => new GradpoolError("invalid_argument", `--prompt -: standard input ${problem}`);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of addAbortSignal(signal, stdin) as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    sizeBytes += piece.byteLength;
    if (sizeBytes > MAX_PROMPT_BYTES) throw refuse(`is longer than ${MAX_PROMPT_BYTES >> 20} MiB; shorten the prompt`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
  } catch {
    throw refuse("is not UTF-8; convert it first");
  }
}

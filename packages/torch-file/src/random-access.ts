import { GradpoolError } from "@gradpool/errors";

/** Bound on what describes tensors: a hundred thousand of them take some 15 MB. */
export const MAX_PICKLE_BYTES = 16_000_000;

/** A file that is read where needed. */
export interface RandomAccess {
  /** For messages. */
  path: string;
  sizeBytes: number;
  /** The bytes from `offset`, fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function damaged(path: string, what: string): GradpoolError {
  return new GradpoolError("data_loss", `${path} is damaged: ${what}; download it again`);
}

/** Text for messages: quoted, escaped, of bounded length. */
export function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

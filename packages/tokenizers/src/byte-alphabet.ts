/**
 * GPT-2's byte alphabet: a printable character for each byte, in which byte-level vocabularies are
 * written (`bytes_to_unicode` of OpenAI's encoder.py).
 */
export const BYTE_CHARACTERS: readonly string[] = alphabet();

const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

/** The bytes of a vocabulary entry; undefined when it is not written in the alphabet. */
export function bytesOf(token: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTES.get(character);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function alphabet(): string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

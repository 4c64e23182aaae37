import { isUtf8 } from "node:buffer";
import { refused } from "../refusals.js";

/**
 * The text of bytes that must be UTF-8; a byte order mark stays. Errors: `invalid_argument`, naming the first byte that is not,
 * as Python's decoder does; replacing it would train on other text.
 */
export function utf8(bytes: Buffer, where: string): string {
  const text = bytes.toString("utf8");
  if (isUtf8(bytes)) return text;
  const reencoded = Buffer.from(text);
  const differs = bytes.findIndex((byte, index) => byte !== reencoded[index]);
  // The mark that stands for a character cut short at the end may begin with the same bytes.
  const at = differs < 0 ? bytes.findLastIndex((byte) => byte >= 0xc0) : differs;
  const byte = `0x${bytes[at]!.toString(16).padStart(2, "0")}`;
  const advice = "convert the file first, for example with iconv -f LATIN1 -t UTF-8";
  throw refused(where, `byte ${byte} is not UTF-8, so the file has another encoding; ${advice}`);
}

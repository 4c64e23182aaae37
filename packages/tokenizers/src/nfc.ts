import { complement, toRegExpClass, unicodeClass } from "./code-points.js";

const UNKNOWN = unicodeClass("notInNfc");

/** One character that Hugging Face's tokenizers, which know an older Unicode, leave as it is, or a run of others. */
const RUNS = new RegExp(`${toRegExpClass(UNKNOWN)}|${toRegExpClass(complement(UNKNOWN))}+`, "gu");

/** Unicode's normal form C, as the normalizer NFC of Hugging Face's tokenizers gives it. */
export function toNfc(text: string): string {
  if (text.normalize("NFC") === text) return text;
  return (text.match(RUNS) ?? []).map((run) => run.normalize("NFC")).join("");
}

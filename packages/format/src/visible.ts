/** Text of others (names, paths, errors, model output) without effect on the terminal or page that shows it. */

/**
 * What a terminal or browser obeys instead of showing: the control characters C0 and C1 (among them ESC and CSI), line and
 * paragraph separators, and invisible format characters such as those that change the direction of text (Unicode's Cc, Zl,
 * Zp and Cf). Without the joiners U+200C and U+200D, which Persian, Hindi and emoji need.
 */
const OBEYED = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const NAMED = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** One line: each control character as an escape, such as \x1b, \n or \u202e. Doing it twice changes nothing. */
export const visible = (text: string): string => text.replace(OBEYED, escaped);

/** Text of several lines, with tabs: these stay as they are. */
export const visibleLines = (text: string): string =>
  text.replace(OBEYED, (character) => (character === "\n" || character === "\t" ? character : escaped(character)));

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return NAMED.get(character) ?? `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}

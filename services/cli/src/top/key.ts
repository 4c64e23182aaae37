/** Keys as a terminal in raw mode sends them. */

/** A named key, or the character itself. */
export type Key = "up" | "down" | "left" | "right" | "enter" | "escape" | "tab" | "quit" | (string & {});

/** See console_codes(4); each arrow in its normal and its application form. */
const SEQUENCES: ReadonlyMap<string, Key> = new Map([
  ["\x1b[A", "up"],
  ["\x1bOA", "up"],
  ["\x1b[B", "down"],
  ["\x1bOB", "down"],
  ["\x1b[C", "right"],
  ["\x1bOC", "right"],
  ["\x1b[D", "left"],
  ["\x1bOD", "left"],
  ["\x1b[Z", "tab"],
  ["\t", "tab"],
  ["\r", "enter"],
  ["\n", "enter"],
  ["\x1b", "escape"],
  ["\x7f", "escape"],
  ["\x03", "quit"],
  ["\x04", "quit"],
  ["k", "up"],
  ["j", "down"],
  ["q", "quit"],
]);

/** One escape sequence (CSI or SS3), or one character. */
const ONE_KEY = /\x1b\[[0-9;]*[ -/]*[@-~]|\x1bO[@-~]|\x1b|./gsu;

/** The keys of one piece of input; sequences that mean nothing here are left out. */
export function keysOf(input: string): Key[] {
  return (input.match(ONE_KEY) ?? []).flatMap((text) => {
    const named = SEQUENCES.get(text);
    if (named) return [named];
    return text >= " " && text.length <= 2 ? [text] : [];
  });
}

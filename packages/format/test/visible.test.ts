import assert from "node:assert/strict";
import { test } from "node:test";
import { visible, visibleLines } from "../src/index.js";

/** What others may put into a name or an error: name, text, as one line, as lines (the same unless given). */
const TABLE: readonly (readonly [name: string, text: string, line: string, lines?: string])[] = [
  ["plain text", "tiny-coder (4 layers) → ü 漢字", "tiny-coder (4 layers) → ü 漢字"],
  ["a backslash", "C:\\models", "C:\\models"],
  ["a colour", "\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"],
  ["a colour by CSI, one character of C1", "\x9b31mred", "\\x9b31mred"],
  ["a window title", "\x1b]0;title\x07", "\\x1b]0;title\\x07"],
  ["a backspace", "good\b\b\b\bevil", "good\\x08\\x08\\x08\\x08evil"],
  ["back to the line's start", "failed\rok", "failed\\rok"],
  ["NUL and DEL", "\0\x7f", "\\x00\\x7f"],
  ["lines and tabs", "one\ttwo\nthree", "one\\ttwo\\nthree", "one\ttwo\nthree"],
  ["line separators", "a\x85b\u2028c\u2029d", "a\\x85b\\u2028c\\u2029d"],
  ["right to left", "run-\u202egpj.exe\u202c", "run-\\u202egpj.exe\\u202c"],
  ["isolates and marks", "\u2066a\u2069\u200e\u200f\u061c", "\\u2066a\\u2069\\u200e\\u200f\\u061c"],
  ["what nobody sees", "a\u200bb\ufeffc\u00ad\u{e0041}", "a\\u200bb\\ufeffc\\xad\\u{e0041}"],
  ["emoji and joiners", "👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"],
];

for (const [name, text, line, lines = line] of TABLE) {
  test(`${name}: shown, not obeyed`, () => {
    assert.equal(visible(text), line);
    assert.equal(visibleLines(text), lines);
    assert.equal(visible(visible(text)), line);
  });
}

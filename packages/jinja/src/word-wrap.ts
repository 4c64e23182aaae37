import { isAllSpace, isSpace, lengthOf, unitOf } from "./python-text.js";

/** Python's textwrap.wrap without replacing whitespace: lines of at most `width` characters. */
export function wrap(
  text: string,
  width: number,
  options: { breakLongWords: boolean; breakOnHyphens: boolean },
): string[] {
  const chunks = chunksOf(text, options.breakOnHyphens).reverse();
  const lines: string[] = [];
  while (chunks.length > 0) {
    const line: string[] = [];
    let length = 0;
    if (lines.length > 0 && isAllSpace(chunks.at(-1)!)) chunks.pop();
    while (chunks.length > 0 && length + lengthOf(chunks.at(-1)!) <= width) {
      length += lengthOf(chunks.at(-1)!);
      line.push(chunks.pop()!);
    }
    if (chunks.length > 0 && lengthOf(chunks.at(-1)!) > width) {
      const room = Math.max(1, width - length);
      if (options.breakLongWords) {
        const word = chunks.pop()!;
        const end = unitOf(word, room);
        line.push(word.slice(0, end));
        chunks.push(word.slice(end));
      } else if (line.length === 0) line.push(chunks.pop()!);
    }
    if (line.length > 0 && isAllSpace(line.at(-1)!)) line.pop();
    if (line.length > 0) lines.push(line.join(""));
  }
  return lines;
}

/** Words with the hyphens they may be broken after, and the whitespace between them. */
function chunksOf(text: string, breakOnHyphens: boolean): string[] {
  const chunks: string[] = [];
  let start = 0;
  for (let at = 1; at <= text.length; at++) {
    if (at < text.length && isSpace(text[at]!) === isSpace(text[at - 1]!)) continue;
    const part = text.slice(start, at);
    start = at;
    if (breakOnHyphens && !isSpace(part[0]!)) chunks.push(...part.split(/(?<=[\p{L}\p{N}_]{1,2}-)(?=\p{L}{2})/u));
    else if (part) chunks.push(part);
  }
  return chunks;
}

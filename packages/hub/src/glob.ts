/**
 * Patterns for paths, as Python's fsspec reads them: `*` and `?` stay within a segment, `[a-z]` and `[!a-z]` are one
 * character, `**` is any number of segments. Matching takes at most pattern × path steps, whatever the pattern.
 */
import { GradpoolError } from "@gradpool/errors";
import { PATTERN_CHARACTERS } from "./limits.js";

type Token = "*" | ((character: string) => boolean);
type Segment = "**" | Token[];

/** Whether a path, as its segments, matches. */
export type Matcher = (segments: readonly string[]) => boolean;

/** Errors: `invalid_argument` for a pattern beyond PATTERN_CHARACTERS. */
export function compileGlob(pattern: string): Matcher {
  if (pattern.length > PATTERN_CHARACTERS) {
    const message = `a pattern for data files is longer than ${PATTERN_CHARACTERS} characters; shorten it`;
    throw new GradpoolError("invalid_argument", message);
  }
  const compiled = pattern
    .replace(/^(\.\/)+/, "")
    // At the end it matches at least the file itself.
    .replace(/(^|\/)\*\*$/, "$1**/*")
    .split("/")
    .map((segment): Segment => (segment === "**" ? segment : tokensOf(segment)));
  const last = compiled.at(-1)!;
  return (segments) => {
    // Most paths fail here already.
    if (!matchesSegment(last, segments.at(-1) ?? "")) return false;
    return matchesAll(compiled, segments, (segment) => segment === "**", matchesSegment);
  };
}

const matchesSegment = (segment: Segment, text: string) => segment !== "**" && matchesText(segment, text);

const matchesText = (tokens: readonly Token[], text: string) =>
  matchesAll(tokens, Array.from(text), (token) => token === "*", matchesCharacter);

const matchesCharacter = (token: Token, character: string) => token !== "*" && token(character);

/** Matches items one by one, where a star matches any number: only the last star ever needs to match one more. */
function matchesAll<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  isStar: (part: P) => boolean,
  matches: (part: P, item: T) => boolean,
): boolean {
  let [p, i, star, taken] = [0, 0, -1, 0];
  while (i < items.length) {
    const part = pattern[p];
    if (part !== undefined && isStar(part)) {
      [star, taken] = [p++, i];
    } else if (part !== undefined && matches(part, items[i]!)) {
      p++;
      i++;
    } else if (star >= 0) {
      [p, i] = [star + 1, ++taken];
    } else {
      return false;
    }
  }
  return pattern.slice(p).every(isStar);
}

function tokensOf(segment: string): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < segment.length;) {
    // A "]" right after the opening is one of the characters.
    const set = segment[i] === "[" ? /^\[(!?)(\]?[^\]]*)\]/.exec(segment.slice(i)) : undefined;
    if (set) {
      tokens.push(setToken(set[2] ?? "", set[1] === "!"));
      i += set[0].length;
      continue;
    }
    const character = String.fromCodePoint(segment.codePointAt(i)!);
    if (character === "*") {
      if (tokens.at(-1) !== "*") tokens.push("*");
    } else {
      tokens.push(character === "?" ? () => true : (other) => other === character);
    }
    i += character.length;
  }
  return tokens;
}

function setToken(content: string, negated: boolean): Token {
  const members = Array.from(content);
  const ranges: [string, string][] = [];
  for (let i = 0; i < members.length;) {
    const isRange = members[i + 1] === "-" && members[i + 2] !== undefined;
    ranges.push([members[i]!, members[isRange ? i + 2 : i]!]);
    i += isRange ? 3 : 1;
  }
  return (character) => ranges.some(([from, to]) => from <= character && character <= to) !== negated;
}

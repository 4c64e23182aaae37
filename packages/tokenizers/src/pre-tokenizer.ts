/** Splits text into the pieces inside of which tokens are merged. */
import { GPT2_PATTERN } from "./gpt2.js";
import { unicodeClass } from "./code-points.js";
import { alwaysMatchesSpace, neverCrossesSpace, requireBounded } from "./pattern-checks.js";
import { literalPattern, parsePattern, type Pattern, toRegExpSource } from "./pattern.js";

/** One step of the splitting, as tokenizer.json names them. */
export type Stage =
  | { type: "pattern"; source: string; literal: boolean; keepGaps: boolean }
  | { type: "digits"; individual: boolean }
  | { type: "byteLevel"; addPrefixSpace: boolean; useRegex: boolean };

interface Step {
  addPrefixSpace: boolean;
  pattern: Pattern | undefined;
  expression: RegExp | undefined;
  keepGaps: boolean;
}

export class PreTokenizer {
  /** Text may be cut before a space that follows a character other than whitespace: the pieces stay the same. */
  readonly cutsAtSpaces: boolean;
  readonly #steps: Step[];

  /** Errors: `failed_precondition` for a pattern that is not supported. */
  constructor(stages: readonly Stage[]) {
    this.#steps = stages.map(stepOf);
    this.cutsAtSpaces =
      this.#steps.every(({ pattern }) => !pattern || neverCrossesSpace(pattern)) &&
      this.#steps.some(({ pattern }) => pattern && alwaysMatchesSpace(pattern));
  }

  /** The pieces of a text without added tokens, in order. */
  split(text: string): string[] {
    let pieces = [text];
    for (const { addPrefixSpace, expression, keepGaps } of this.#steps) {
      if (addPrefixSpace) pieces = pieces.map((piece) => (piece.startsWith(" ") ? piece : ` ${piece}`));
      if (!expression) continue;
      pieces =
        pieces.length === 1
          ? splitBy(expression, pieces[0] ?? "", keepGaps)
          : pieces.flatMap((piece) => splitBy(expression, piece, keepGaps));
    }
    return pieces;
  }
}

function stepOf(stage: Stage): Step {
  const addPrefixSpace = stage.type === "byteLevel" && stage.addPrefixSpace;
  const keepGaps = stage.type !== "pattern" || stage.keepGaps;
  const pattern = patternOf(stage);
  return { addPrefixSpace, keepGaps, pattern, expression: pattern && new RegExp(toRegExpSource(pattern), "gu") };
}

function patternOf(stage: Stage): Pattern | undefined {
  if (stage.type === "digits") {
    return [[{ node: { kind: "set", set: unicodeClass("digit") }, min: 1, max: stage.individual ? 1 : Infinity }]];
  }
  if (stage.type === "byteLevel") return stage.useRegex ? parsePattern(GPT2_PATTERN) : undefined;
  const pattern = stage.literal ? literalPattern(stage.source) : parsePattern(stage.source);
  requireBounded(pattern, stage.source);
  return pattern;
}

/** Matches, and what is between them, in order. */
function splitBy(expression: RegExp, text: string, keepGaps: boolean): string[] {
  const matches = text.match(expression) ?? [];
  if (!keepGaps) return matches;
  let matched = 0;
  for (const match of matches) matched += match.length;
  if (matched === text.length) return matches;
  const pieces: string[] = [];
  let position = 0;
  for (const match of text.matchAll(expression)) {
    if (match.index > position) pieces.push(text.slice(position, match.index));
    pieces.push(match[0]);
    position = match.index + match[0].length;
  }
  if (position < text.length) pieces.push(text.slice(position));
  return pieces;
}

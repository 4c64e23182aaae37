/** Splits text into the pieces inside of which tokens are merged. */
import { GPT2_PATTERN } from "./gpt2.js";
import { unicodeClass } from "./code-points.js";
import { alwaysMatchesSpace, neverCrossesSpace, requireBounded } from "./pattern-checks.js";
import { literalPattern, parsePattern, type Pattern, toRegExpSource } from "./pattern.js";

/** What becomes of a pattern's matches (tokenizers' SplitDelimiterBehavior). */
export const BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

/** Matches and what is between them are joined, or, `invert`, the other way round. */
interface Joined {
  behavior: Exclude<(typeof BEHAVIORS)[number], "Isolated">;
  invert: boolean;
}

/** One step of the splitting, as tokenizer.json names them. */
export type Stage =
  | { type: "pattern"; source: string; literal: boolean; keepGaps: boolean; joined?: Joined }
  | { type: "digits"; individual: boolean }
  | { type: "byteLevel"; addPrefixSpace: boolean; useRegex: boolean };

interface Step {
  addPrefixSpace: boolean;
  pattern: Pattern | undefined;
  expression: RegExp | undefined;
  keepGaps: boolean;
  joined: Joined | undefined;
}

export class PreTokenizer {
  /** Text may be cut before a space that follows a character other than whitespace: the pieces stay the same. */
  readonly cutsAtSpaces: boolean;
  readonly #steps: Step[];

  /** Errors: `failed_precondition` for a pattern that is not supported. */
  constructor(stages: readonly Stage[]) {
    this.#steps = stages.map(stepOf);
    this.cutsAtSpaces =
      this.#steps.every(({ pattern, joined }) => !pattern || (!joined && neverCrossesSpace(pattern))) &&
      this.#steps.some(({ pattern }) => pattern && alwaysMatchesSpace(pattern));
  }

  /** The pieces of a text without added tokens, in order. */
  split(text: string): string[] {
    let pieces = [text];
    for (const { addPrefixSpace, expression, keepGaps, joined } of this.#steps) {
      if (addPrefixSpace) pieces = pieces.map((piece) => (piece.startsWith(" ") ? piece : ` ${piece}`));
      if (!expression) continue;
      const split = (piece: string) =>
        joined ? joinedParts(partsBy(expression, piece), joined) : splitBy(expression, piece, keepGaps);
      pieces = pieces.length === 1 ? split(pieces[0] ?? "") : pieces.flatMap(split);
    }
    return pieces;
  }
}

function stepOf(stage: Stage): Step {
  const addPrefixSpace = stage.type === "byteLevel" && stage.addPrefixSpace;
  const keepGaps = stage.type !== "pattern" || stage.keepGaps;
  const pattern = patternOf(stage);
  const joined = stage.type === "pattern" ? stage.joined : undefined;
  return {
    addPrefixSpace,
    keepGaps,
    joined,
    pattern,
    expression: pattern && new RegExp(toRegExpSource(pattern), "gu"),
  };
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
  return partsBy(expression, text).map((part) => part.text);
}

interface Part {
  text: string;
  isMatch: boolean;
}

/** Without empty ones. */
function partsBy(expression: RegExp, text: string): Part[] {
  const parts: Part[] = [];
  let position = 0;
  for (const match of text.matchAll(expression)) {
    if (match.index > position) parts.push({ text: text.slice(position, match.index), isMatch: false });
    if (match[0] !== "") parts.push({ text: match[0], isMatch: true });
    position = match.index + match[0].length;
  }
  if (position < text.length) parts.push({ text: text.slice(position), isMatch: false });
  return parts;
}

/** As NormalizedString::split of tokenizers 0.23. */
function joinedParts(parts: readonly Part[], { behavior, invert }: Joined): string[] {
  const isDelimiter = ({ isMatch }: Part) => isMatch !== invert;
  const pieces: string[] = [];
  for (const [i, part] of parts.entries()) {
    if (behavior === "Removed" && isDelimiter(part)) continue;
    const before = parts[i - 1];
    if (before && joins(behavior, isDelimiter(before), isDelimiter(part))) pieces.push(`${pieces.pop()}${part.text}`);
    else pieces.push(part.text);
  }
  return pieces;
}

/** Whether a part is joined to the one before it. */
function joins(behavior: Joined["behavior"], beforeDelimits: boolean, delimits: boolean): boolean {
  if (behavior === "Contiguous") return beforeDelimits === delimits;
  if (behavior === "MergedWithPrevious") return delimits && !beforeDelimits;
  return behavior === "MergedWithNext" && beforeDelimits && !delimits;
}

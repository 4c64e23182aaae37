/**
 * The regular expressions of pre-tokenizers, in the part of Oniguruma's syntax that they use. They are
 * parsed, checked, and rewritten for the runtime with every class spelled out, so that they match
 * what Hugging Face's tokenizers match.
 */
import { GradpoolError } from "@gradpool/errors";
import { type CodePoints, complement, isUnicodeClass, toRegExpClass, unicodeClass, union } from "./code-points.js";

export type PatternNode =
  | { kind: "set"; set: CodePoints }
  | { kind: "group"; branches: PatternItem[][] }
  | { kind: "look"; negative: boolean; set: CodePoints };

export interface PatternItem {
  node: PatternNode;
  min: number;
  max: number;
}

/** Alternatives, tried in order; each a sequence. */
export type Pattern = PatternItem[][];

/** Longest pattern that is accepted, in code units; those in use stay below 600. */
const MAX_PATTERN_LENGTH = 4096;

/** Errors: `failed_precondition`, naming the construct that is not supported. */
export function parsePattern(source: string): Pattern {
  if (source.length > MAX_PATTERN_LENGTH) throw unsupported(source, `more than ${MAX_PATTERN_LENGTH} characters`);
  const parser = new Parser(source);
  return parser.parse();
}

/** A pattern that matches `text` alone. */
export function literalPattern(text: string): Pattern {
  return [[...text].map((character) => once({ kind: "set", set: single(character.codePointAt(0) ?? 0) }))];
}

/** The pattern for the runtime, to be used with the flag `u`. */
export function toRegExpSource(pattern: Pattern): string {
  return pattern.map((items) => items.map(itemSource).join("")).join("|");
}

export function unsupported(source: string, what: string): GradpoolError {
  const shown = source.length > 80 ? `${source.slice(0, 80)}…` : source;
  const message = `tokenizer.json: the pre_tokenizer's pattern ${JSON.stringify(shown)} uses ${what}, which is not supported; use a model whose pattern is like GPT-2's, Llama 3's or Qwen2's`;
  return new GradpoolError("failed_precondition", message);
}

function itemSource({ node, min, max }: PatternItem): string {
  const quantifier = min === 1 && max === 1 ? "" : `{${min},${max === Infinity ? "" : max}}`;
  if (node.kind === "set") return toRegExpClass(node.set) + quantifier;
  if (node.kind === "look") return `(?${node.negative ? "!" : "="}${toRegExpClass(node.set)})`;
  return `(?:${toRegExpSource(node.branches)})${quantifier}`;
}

const once = (node: PatternNode): PatternItem => ({ node, min: 1, max: 1 });
const single = (codePoint: number): CodePoints => [codePoint, codePoint];

const CONTROLS: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7, e: 27 };

class Parser {
  readonly #source: string;
  readonly #characters: string[];
  #position = 0;

  constructor(source: string) {
    this.#source = source;
    this.#characters = [...source];
  }

  parse(): Pattern {
    const branches = this.#branches(false);
    if (this.#position < this.#characters.length) throw this.#refuse("an unmatched )");
    return branches;
  }

  #branches(ignoreCase: boolean): Pattern {
    const branches: Pattern = [[]];
    for (;;) {
      const next = this.#characters[this.#position];
      if (next === undefined || next === ")") return branches;
      if (next === "|") {
        this.#position++;
        branches.push([]);
      } else branches.at(-1)!.push(this.#quantified(this.#atom(ignoreCase)));
    }
  }

  #atom(ignoreCase: boolean): PatternNode {
    const next = this.#take();
    if (next === "(") return this.#group(ignoreCase);
    if (next === "[") return { kind: "set", set: this.#cased(this.#class(), ignoreCase) };
    if (next === ".") return { kind: "set", set: complement(single(10)) };
    if (next === "\\") return { kind: "set", set: this.#cased(this.#escape(), ignoreCase) };
    if ("^$".includes(next)) throw this.#refuse(`the anchor ${next}`);
    if ("?*+".includes(next)) throw this.#refuse(`${next} with nothing to repeat`);
    return { kind: "set", set: this.#cased(single(next.codePointAt(0) ?? 0), ignoreCase) };
  }

  #group(ignoreCase: boolean): PatternNode {
    let look: "!" | "=" | undefined;
    if (this.#accept("?")) {
      const kind = this.#take();
      if (kind === "!" || kind === "=") look = kind;
      else if (kind === "i" && this.#accept(":")) ignoreCase = true;
      else if (kind !== ":") throw this.#refuse(`a group (?${kind}`);
    }
    const branches = this.#branches(ignoreCase);
    if (!this.#accept(")")) throw this.#refuse("an unclosed (");
    if (!look) return { kind: "group", branches };
    const [item] = branches[0] ?? [];
    const alone = branches.length === 1 && branches[0]?.length === 1 && item?.min === 1 && item.max === 1;
    if (!alone || item.node.kind !== "set") throw this.#refuse(`a lookahead (?${look} for more than one character`);
    return { kind: "look", negative: look === "!", set: item.node.set };
  }

  #quantified(node: PatternNode): PatternItem {
    const bounds = this.#quantifier();
    if (!bounds) return once(node);
    if (node.kind === "look") throw this.#refuse("a repeated lookahead");
    const after = this.#characters[this.#position];
    if (after === "+" || after === "?" || after === "*" || this.#quantifier()) {
      throw this.#refuse("a lazy, possessive or doubled quantifier");
    }
    return { node, ...bounds };
  }

  #quantifier(): { min: number; max: number } | undefined {
    if (this.#accept("?")) return { min: 0, max: 1 };
    if (this.#accept("*")) return { min: 0, max: Infinity };
    if (this.#accept("+")) return { min: 1, max: Infinity };
    const rest = this.#characters.slice(this.#position, this.#position + 12).join("");
    const braces = /^\{(\d{0,3})(,?)(\d{0,3})\}/.exec(rest);
    if (!braces || (!braces[1] && !braces[3])) return undefined;
    this.#position += braces[0].length;
    const min = Number(braces[1] || 0);
    const max = braces[3] ? Number(braces[3]) : braces[2] ? Infinity : min;
    if (max < min || max === 0) throw this.#refuse(`the quantifier ${braces[0]}`);
    return { min, max };
  }

  /** After a backslash. */
  #escape(): CodePoints {
    const letter = this.#take();
    const control = CONTROLS[letter];
    if (control !== undefined) return single(control);
    if (letter === "x" || letter === "u") return single(this.#hex(letter));
    if (letter === "p" || letter === "P") return this.#property(letter === "P");
    const shorthand = { s: "space", d: "Nd", w: "word" }[letter.toLowerCase()];
    if (shorthand && isUnicodeClass(shorthand)) {
      const set = unicodeClass(shorthand);
      return letter === letter.toLowerCase() ? set : complement(set);
    }
    if (/[a-zA-Z0-9]/.test(letter)) throw this.#refuse(`\\${letter}`);
    return single(letter.codePointAt(0) ?? 0);
  }

  #property(negated: boolean): CodePoints {
    if (!this.#accept("{")) throw this.#refuse("\\p without {");
    const inverted = this.#accept("^") !== negated;
    let name = "";
    for (let next = this.#take(); next !== "}"; next = this.#take()) name += next;
    if (!isUnicodeClass(name)) throw this.#refuse(`\\p{${name}}`);
    return inverted ? complement(unicodeClass(name)) : unicodeClass(name);
  }

  #hex(letter: "x" | "u"): number {
    let digits = "";
    if (this.#accept("{")) for (let next = this.#take(); next !== "}"; next = this.#take()) digits += next;
    else for (let i = 0; i < (letter === "x" ? 2 : 4); i++) digits += this.#take();
    const codePoint = /^[0-9a-fA-F]{1,6}$/.test(digits) ? parseInt(digits, 16) : Infinity;
    if (codePoint > 0x10ffff) throw this.#refuse(`the escape \\${letter}${digits}`);
    return codePoint;
  }

  /** After an opening bracket. */
  #class(): CodePoints {
    const negated = this.#accept("^");
    const parts: CodePoints[] = [];
    for (let first = true; ; first = false) {
      const next = this.#take();
      if (next === "]" && !first) break;
      if (next === "&" && this.#characters[this.#position] === "&") throw this.#refuse("&& in a class");
      if (next === "[") {
        if (this.#characters[this.#position] === ":") throw this.#refuse("a POSIX class [:");
        parts.push(this.#class());
        continue;
      }
      const low = next === "\\" ? this.#escape() : single(next.codePointAt(0) ?? 0);
      const range = this.#characters[this.#position] === "-" && this.#characters[this.#position + 1] !== "]";
      if (!range || low.length !== 2 || low[0] !== low[1]) {
        parts.push(low);
        continue;
      }
      this.#position++;
      const end = this.#take();
      const high = end === "\\" ? this.#escape() : single(end.codePointAt(0) ?? 0);
      if (high.length !== 2 || high[0]! < low[0]!) throw this.#refuse("an invalid range in a class");
      parts.push([low[0]!, high[1]!]);
    }
    const set = union(...parts);
    return negated ? complement(set) : set;
  }

  /** The set with its letters in both cases; U+017F folds to s, and U+212A to k. */
  #cased(set: CodePoints, ignoreCase: boolean): CodePoints {
    if (!ignoreCase) return set;
    if (set.some((bound) => bound > 0x7f)) throw this.#refuse("(?i: with non-ASCII characters");
    const extra: CodePoints[] = [];
    for (let i = 0; i < set.length; i += 2) {
      for (let c = set[i]!; c <= set[i + 1]!; c++) {
        const letter = String.fromCharCode(c).toLowerCase();
        if (!/[a-z]/.test(letter)) continue;
        extra.push(single(letter.charCodeAt(0)), single(letter.toUpperCase().charCodeAt(0)));
        if (letter === "s") extra.push(single(0x17f));
        if (letter === "k") extra.push(single(0x212a));
      }
    }
    return union(set, ...extra);
  }

  #take(): string {
    const next = this.#characters[this.#position++];
    if (next === undefined) throw this.#refuse("an unfinished group, class or escape");
    return next;
  }

  #accept(character: string): boolean {
    const found = this.#characters[this.#position] === character;
    if (found) this.#position++;
    return found;
  }

  #refuse(what: string): GradpoolError {
    return unsupported(this.#source, what);
  }
}

/** Python's syntax of regular expressions, as far as names of modules need it. */
import { GradpoolError } from "@gradpool/errors";

export type PatternNode =
  | { kind: "character"; accepts: (character: string) => boolean }
  | { kind: "start" }
  | { kind: "end" }
  | { kind: "sequence"; parts: PatternNode[] }
  | { kind: "choice"; options: PatternNode[] }
  | { kind: "repeat"; of: PatternNode; least: number; most: number };

/** Errors: `invalid_argument` for what Python refuses too, `unimplemented` for what is not supported. */
export function parsePattern(source: string, field: string): PatternNode {
  return new Parser(source, field).parse();
}

const CLASSES: Record<string, RegExp> = { d: /\d/, D: /\D/, w: /\w/, W: /\W/, s: /\s/, S: /\S/ };
const CONTROL: Record<string, string> = { t: "\t", n: "\n", r: "\r", f: "\f", v: "\v", a: "\x07" };

class Parser {
  #at = 0;

  constructor(
    private readonly source: string,
    private readonly field: string,
  ) {}

  parse(): PatternNode {
    const node = this.#choice();
    if (this.#at < this.source.length) throw this.#malformed("it has an unmatched )");
    return node;
  }

  #choice(): PatternNode {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    return options.length === 1 ? (options[0] as PatternNode) : { kind: "choice", options };
  }

  #sequence(): PatternNode {
    const parts: PatternNode[] = [];
    while (this.#at < this.source.length && !this.#isNext("|") && !this.#isNext(")")) {
      const atom = this.#atom();
      parts.push(this.#repetition(atom));
    }
    return { kind: "sequence", parts };
  }

  #atom(): PatternNode {
    const character = this.#next();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return this.#set();
      case ".":
        return { kind: "character", accepts: (other) => other !== "\n" };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw this.#malformed(`${character} has nothing to repeat`);
      default:
        return literal(character);
    }
  }

  #group(): PatternNode {
    if (this.#isNext("?")) {
      const opening = /^\?(:|P<[A-Za-z_]\w*>)/.exec(this.source.slice(this.#at))?.[0];
      if (!opening) throw this.#unsupported(`(${this.source.slice(this.#at, this.#at + 3)}`);
      this.#at += opening.length;
    }
    const inner = this.#choice();
    if (!this.#take(")")) throw this.#malformed("it lacks a )");
    return inner;
  }

  #escape(): PatternNode {
    const character = this.#next();
    if (character === "") throw this.#malformed("it ends in a backslash");
    if (character === "A") return { kind: "start" };
    if (character === "Z") return { kind: "end" };
    return { kind: "character", accepts: this.#escaped(character) };
  }

  /** What a backslash and this character match, in a set and outside. */
  #escaped(character: string): (other: string) => boolean {
    const known = CLASSES[character];
    if (known) return (other) => known.test(other);
    const control = CONTROL[character];
    if (control !== undefined) return (other) => other === control;
    if (/[A-Za-z0-9]/.test(character)) throw this.#unsupported(`\\${character}`);
    return (other) => other === character;
  }

  #set(): PatternNode {
    const isNegated = this.#take("^");
    const members: ((other: string) => boolean)[] = [];
    while (members.length === 0 || !this.#isNext("]")) {
      const first = this.#next();
      if (first === "") throw this.#malformed("it lacks a ]");
      if (first === "\\") {
        members.push(this.#escaped(this.#next()));
        continue;
      }
      const range = /^-([^\]\\])/.exec(this.source.slice(this.#at));
      const last = range?.[1] ?? first;
      if (range) this.#at += 2;
      if (last < first) throw this.#malformed(`the range ${first}-${last} is empty`);
      members.push((other) => first <= other && other <= last);
    }
    this.#at++;
    return { kind: "character", accepts: (other) => members.some((accepts) => accepts(other)) !== isNegated };
  }

  #repetition(of: PatternNode): PatternNode {
    const found = /^(?:[*+?]|\{(\d{0,9})(,?)(\d{0,9})\})/.exec(this.source.slice(this.#at));
    // As in Python, braces that count nothing are characters.
    if (!found || found[0] === "{}") return of;
    const [text, from = "", comma, to = ""] = found;
    this.#at += text.length;
    if (this.#isNext("+")) throw this.#unsupported(`${text}+`);
    // Reluctant or not, the same names match.
    this.#take("?");
    if (/^(?:[*+?]|\{\d)/.test(this.source.slice(this.#at))) throw this.#malformed("it repeats a repetition");
    if (text === "*") return { kind: "repeat", of, least: 0, most: Infinity };
    if (text === "+") return { kind: "repeat", of, least: 1, most: Infinity };
    if (text === "?") return { kind: "repeat", of, least: 0, most: 1 };
    const least = Number(from);
    const most = comma === "" ? least : to === "" ? Infinity : Number(to);
    if (most < least) throw this.#malformed(`${text} counts backwards`);
    return { kind: "repeat", of, least, most };
  }

  #isNext(character: string): boolean {
    return this.source.charAt(this.#at) === character;
  }

  #take(character: string): boolean {
    const isThere = this.#isNext(character);
    if (isThere) this.#at++;
    return isThere;
  }

  #next(): string {
    return this.source.charAt(this.#at++);
  }

  #malformed(problem: string): GradpoolError {
    const message = `${this.field}: ${JSON.stringify(this.source)} is not a valid regular expression: ${problem}; correct it`;
    return new GradpoolError("invalid_argument", message);
  }

  #unsupported(what: string): GradpoolError {
    const message = `${this.field}: ${JSON.stringify(this.source)} has ${what}, which is not supported; list the names`;
    return new GradpoolError("unimplemented", message);
  }
}

const literal = (character: string): PatternNode => ({ kind: "character", accepts: (other) => other === character });

/** Jinja's text to tokens, with trim_blocks and lstrip_blocks as transformers sets them. */
import { TemplateSyntaxError } from "./errors.js";
import { IDENTIFIER, isAllSpace, WHITESPACE } from "./python-text.js";

export type TokenKind = "data" | "begin" | "end" | "name" | "string" | "number" | "operator" | "eof";

export interface Token {
  kind: TokenKind;
  /** The text of a name, an operator, data or a string; "{{" or "{%" for a begin, what closes it for an end. */
  text: string;
  /** Of a number. */
  value?: bigint | number;
  line: number;
}

const SPACE = `[${WHITESPACE}]`;
const TAG = new RegExp(`\\{%([-+]?)${SPACE}*raw${SPACE}*(?:-%\\}${SPACE}*|%\\})|(\\{\\{|\\{%|\\{#)([-+]?)`, "g");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${SPACE}*|#\\}\\n?`, "g");
const RAW_END = new RegExp(`\\{%([-+]?)${SPACE}*endraw${SPACE}*(?:\\+%\\}|-%\\}${SPACE}*|%\\}\\n?)`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${SPACE}*|%\\}\\n?`, "y");
const VARIABLE_END = new RegExp(`-\\}\\}${SPACE}*|\\}\\}`, "y");

const SKIPPED = new RegExp(`${SPACE}+`, "y");
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{N}\p{Mn}\p{Mc}\p{Pc}]+/uy;
const STRING = /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;

const CLOSING: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

/** Errors: TemplateSyntaxError. */
export function tokenize(template: string): Token[] {
  return new Lexer(template.replace(/\r\n?/g, "\n").replace(/\n$/, "")).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** The template so far ended in a line end, or it has just begun. */
  #lineStarting = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) this.#root();
    this.#push("eof", "");
    return this.#tokens;
  }

  #root(): void {
    TAG.lastIndex = this.#at;
    const tag = TAG.exec(this.#source);
    if (!tag) {
      this.#data(this.#source.slice(this.#at));
      this.#at = this.#source.length;
      return;
    }
    const [whole, rawSign, opening, sign] = tag;
    const before = this.#source.slice(this.#at, tag.index);
    this.#data(this.#stripped(before, rawSign ?? sign ?? "", opening === "{{"));
    this.#line += count(before);
    this.#advance(tag.index, whole);
    if (rawSign !== undefined) this.#raw();
    else if (opening === "{#") this.#comment();
    else this.#expression(opening!);
  }

  /** What is left of the data before a tag. */
  #stripped(text: string, sign: string, isVariable: boolean): string {
    if (sign === "-") return text.replace(new RegExp(`${SPACE}+$`), "");
    if (sign === "+" || isVariable) return text;
    const lineStart = text.lastIndexOf("\n") + 1;
    const stripsLine = lineStart > 0 || this.#lineStarting;
    return stripsLine && isAllSpace(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  #raw(): void {
    const [before, end] = this.#upTo(RAW_END, "Missing end of raw directive");
    this.#data(this.#stripped(before, end[1]!, false));
    this.#line += count(before);
    this.#advance(this.#at + before.length, end[0]);
  }

  #comment(): void {
    const [before, end] = this.#upTo(COMMENT_END, "Missing end of comment tag");
    this.#line += count(before);
    this.#advance(this.#at + before.length, end[0]);
  }

  #upTo(pattern: RegExp, missing: string): [before: string, match: RegExpExecArray] {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (!match) throw new TemplateSyntaxError(missing, this.#line);
    return [this.#source.slice(this.#at, match.index), match];
  }

  #expression(opening: string): void {
    this.#push("begin", opening);
    const end = opening === "{{" ? VARIABLE_END : BLOCK_END;
    const open: string[] = [];
    while (this.#at < this.#source.length) {
      const closed = open.length === 0 ? this.#match(end) : undefined;
      if (closed !== undefined) {
        this.#push("end", opening);
        this.#advance(this.#at, closed);
        return;
      }
      this.#token(open);
    }
    throw new TemplateSyntaxError("Unexpected end of template", this.#line);
  }

  #token(open: string[]): void {
    const space = this.#match(SKIPPED);
    if (space !== undefined) return this.#advance(this.#at, space);
    const float = this.#match(FLOAT);
    if (float !== undefined) return this.#taken(float, { kind: "number", value: Number(float.replaceAll("_", "")) });
    const integer = this.#match(INTEGER);
    if (integer !== undefined) return this.#taken(integer, { kind: "number", value: wholeNumber(integer, this.#line) });
    const name = this.#match(NAME);
    if (name !== undefined) {
      if (!IDENTIFIER.test(name)) throw new TemplateSyntaxError("Invalid character in identifier", this.#line);
      return this.#taken(name, { kind: "name", text: name });
    }
    const string = this.#match(STRING);
    if (string !== undefined)
      return this.#taken(string, { kind: "string", text: unescaped(string.slice(1, -1), this.#line) });
    const operator = this.#match(OPERATOR);
    if (operator === undefined) {
      throw new TemplateSyntaxError(`unexpected char '${this.#source[this.#at]}' at ${this.#at}`, this.#line);
    }
    const closing = CLOSING[operator];
    if (closing) open.push(closing);
    else if (")]}".includes(operator)) {
      const expected = open.pop();
      if (expected !== operator) {
        throw new TemplateSyntaxError(
          `unexpected '${operator}'${expected ? `, expected '${expected}'` : ""}`,
          this.#line,
        );
      }
    }
    this.#taken(operator, { kind: "operator", text: operator });
  }

  #taken(
    source: string,
    { kind, text = source, value }: { kind: TokenKind; text?: string; value?: bigint | number },
  ): void {
    this.#tokens.push({ kind, text, line: this.#line, ...(value === undefined ? {} : { value }) });
    this.#advance(this.#at, source);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0];
  }

  #data(text: string): void {
    if (text !== "") this.#push("data", text);
  }

  #push(kind: TokenKind, text: string): void {
    this.#tokens.push({ kind, text, line: this.#line });
  }

  #advance(from: number, matched: string): void {
    this.#at = from + matched.length;
    this.#line += count(matched);
    this.#lineStarting = matched.endsWith("\n");
  }
}

function count(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

function wholeNumber(text: string, line: number): bigint {
  if (text.length > 4300) throw new TemplateSyntaxError("a number has more than 4300 digits", line);
  return BigInt(text.replaceAll("_", "").toLowerCase());
}

const ESCAPES: Record<string, string> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Python's unicode-escape. */
function unescaped(text: string, line: number): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[^])/g, (whole, escape: string) => {
    const simple = ESCAPES[escape];
    if (simple !== undefined) return simple;
    if (/^[0-7]/.test(escape)) return String.fromCharCode(parseInt(escape, 8));
    const code = escape.length > 1 && /^[xuU]/.test(escape) ? parseInt(escape.slice(1), 16) : NaN;
    if (code <= 0x10ffff) return code > 0xffff ? String.fromCodePoint(code) : String.fromCharCode(code);
    if (/^[xuUN]/.test(escape))
      throw new TemplateSyntaxError(`a text has a damaged or unsupported escape \\${escape[0]}`, line);
    return whole;
  });
}

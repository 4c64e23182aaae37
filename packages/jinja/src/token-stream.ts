import { TemplateSyntaxError } from "./errors.js";
import { MAX_DEPTH, tooDeep } from "./limits.js";
import type { Token } from "./lexer.js";

/** The tokens of a template as the parsers go through them. */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at]!;
  }

  get following(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)]!;
  }

  next(): Token {
    const token = this.current;
    if (token.kind !== "eof") this.#at++;
    return token;
  }

  isName(...names: string[]): boolean {
    return this.current.kind === "name" && (names.length === 0 || names.includes(this.current.text));
  }

  isOperator(...operators: string[]): boolean {
    return this.current.kind === "operator" && operators.includes(this.current.text);
  }

  skipName(name: string): boolean {
    const skips = this.isName(name);
    if (skips) this.#at++;
    return skips;
  }

  skipOperator(operator: string): boolean {
    const skips = this.isOperator(operator);
    if (skips) this.#at++;
    return skips;
  }

  name(): string {
    if (this.current.kind !== "name") throw this.unexpected("a name");
    return this.next().text;
  }

  expectName(name: string): void {
    if (!this.skipName(name)) throw this.unexpected(`'${name}'`);
  }

  expectOperator(operator: string): void {
    if (!this.skipOperator(operator)) throw this.unexpected(`'${operator}'`);
  }

  expectEnd(): void {
    if (this.current.kind !== "end") throw this.unexpected("the end of the tag");
    this.#at++;
  }

  unexpected(expected: string): TemplateSyntaxError {
    const { kind, text } = this.current;
    const met = kind === "eof" ? "the end of the template" : kind === "end" ? "the end of the tag" : `'${text}'`;
    return this.error(`expected ${expected}, got ${met}`);
  }

  error(message: string): TemplateSyntaxError {
    return new TemplateSyntaxError(message, this.current.line);
  }

  nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw tooDeep();
    const result = parse();
    this.#depth--;
    return result;
  }
}

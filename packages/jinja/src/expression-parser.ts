/** Jinja's expressions, with the precedences of its parser. */
import type { Arguments, Comparison, Expression, Part } from "./nodes.js";
import type { ArithmeticOperator } from "./operations.js";
import type { TokenStream } from "./token-stream.js";

const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="];
const CONSTANTS: Record<string, boolean | null> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

export interface TupleOptions {
  /** Expressions may be conditional. */
  condition?: boolean;
  /** Names that end the tuple. */
  endNames?: string[];
  /** In parentheses, where it may be empty. */
  parentheses?: boolean;
}

export class ExpressionParser {
  readonly #stream: TokenStream;

  constructor(stream: TokenStream) {
    this.#stream = stream;
  }

  /** One expression, or a tuple of them without parentheses. */
  tuple({ condition = true, endNames = [], parentheses = false }: TupleOptions = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#stream.expectOperator(",");
      if (this.#isTupleEnd(endNames)) break;
      items.push(condition ? this.expression() : this.#or());
      if (!this.#stream.isOperator(",")) break;
      isTuple = true;
    }
    if (isTuple) return { kind: "tuple", items };
    if (items.length > 0) return items[0]!;
    if (!parentheses) throw this.#stream.unexpected("an expression");
    return { kind: "tuple", items };
  }

  #isTupleEnd(endNames: string[]): boolean {
    const { kind } = this.#stream.current;
    return (
      kind === "end" ||
      this.#stream.isOperator(")") ||
      (kind === "name" && endNames.includes(this.#stream.current.text))
    );
  }

  expression(): Expression {
    return this.#stream.nested(() => {
      let result = this.#or();
      while (this.#stream.skipName("if")) {
        const test = this.#or();
        const no = this.#stream.skipName("else") ? this.expression() : undefined;
        result = { kind: "condition", test, yes: result, no };
      }
      return result;
    });
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#stream.skipName("or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#stream.skipName("and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (!this.#stream.skipName("not")) return this.#compare();
    return this.#stream.nested(() => ({ kind: "not", operand: this.#not() }));
  }

  #compare(): Expression {
    const first = this.#sum();
    const rest: [Comparison, Expression][] = [];
    for (;;) {
      if (this.#stream.isOperator(...COMPARISONS)) {
        rest.push([this.#stream.next().text as Comparison, this.#sum()]);
      } else if (this.#stream.skipName("in")) rest.push(["in", this.#sum()]);
      else if (
        this.#stream.isName("not") &&
        this.#stream.following.kind === "name" &&
        this.#stream.following.text === "in"
      ) {
        this.#stream.next();
        this.#stream.next();
        rest.push(["not in", this.#sum()]);
      } else return rest.length === 0 ? first : { kind: "compare", first, rest };
    }
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const items = [this.#product()];
    while (this.#stream.skipOperator("~")) items.push(this.#product());
    return items.length === 1 ? items[0]! : { kind: "concat", items };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#power());
  }

  #power(): Expression {
    return this.#binary(["**"], () => this.#unary());
  }

  #binary(operators: string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#stream.isOperator(...operators)) {
      const operator = this.#stream.next().text as ArithmeticOperator;
      left = { kind: "arithmetic", operator, left, right: operand() };
    }
    return left;
  }

  #unary(withFilter = true): Expression {
    let node: Expression;
    if (this.#stream.skipOperator("-"))
      node = { kind: "negative", operand: this.#stream.nested(() => this.#unary(false)) };
    else if (this.#stream.skipOperator("+")) {
      node = { kind: "positive", operand: this.#stream.nested(() => this.#unary(false)) };
    } else node = this.#primary();
    node = this.#postfix(node);
    return withFilter ? this.#filtersAndTests(node) : node;
  }

  #primary(): Expression {
    const token = this.#stream.current;
    if (token.kind === "name") {
      this.#stream.next();
      const constant = CONSTANTS[token.text];
      return constant === undefined ? { kind: "name", name: token.text } : { kind: "constant", value: constant };
    }
    if (token.kind === "string") {
      let value = "";
      while (this.#stream.current.kind === "string") value += this.#stream.next().text;
      return { kind: "constant", value };
    }
    if (token.kind === "number") {
      this.#stream.next();
      return { kind: "constant", value: token.value! };
    }
    if (this.#stream.skipOperator("(")) {
      const inner = this.#stream.nested(() => this.tuple({ parentheses: true }));
      this.#stream.expectOperator(")");
      return inner;
    }
    if (this.#stream.skipOperator("[")) {
      return { kind: "list", items: this.#listed("]", () => this.expression()) };
    }
    if (this.#stream.skipOperator("{")) {
      const entries = this.#listed("}", (): [Expression, Expression] => {
        const key = this.expression();
        this.#stream.expectOperator(":");
        return [key, this.expression()];
      });
      return { kind: "dict", entries };
    }
    throw this.#stream.unexpected("an expression");
  }

  #listed<T>(end: string, parse: () => T): T[] {
    const items: T[] = [];
    while (!this.#stream.isOperator(end)) {
      if (items.length > 0) this.#stream.expectOperator(",");
      if (this.#stream.isOperator(end)) break;
      items.push(parse());
    }
    this.#stream.expectOperator(end);
    return items;
  }

  #postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.#stream.skipOperator(".")) node = this.#member(node);
      else if (this.#stream.skipOperator("[")) node = this.#subscript(node);
      else if (this.#stream.isOperator("(")) node = { kind: "call", callee: node, args: this.callArguments() };
      else return node;
    }
  }

  #member(object: Expression): Expression {
    const token = this.#stream.next();
    if (token.kind === "name") return { kind: "attribute", object, name: token.text };
    if (typeof token.value !== "bigint") throw this.#stream.error("expected name or number");
    return { kind: "item", object, key: { kind: "constant", value: token.value } };
  }

  #subscript(object: Expression): Expression {
    const keys: Expression[] = [];
    for (;;) {
      if (keys.length > 0) {
        if (this.#stream.skipOperator("]")) break;
        this.#stream.expectOperator(",");
      }
      const start = this.#stream.isOperator(":") ? undefined : this.expression();
      if (this.#stream.isOperator(":")) {
        if (keys.length > 0) throw this.#stream.error("a slice among several keys");
        return this.#slice(object, start);
      }
      keys.push(start!);
    }
    return { kind: "item", object, key: keys.length === 1 ? keys[0]! : { kind: "tuple", items: keys } };
  }

  #slice(object: Expression, start: Part): Expression {
    this.#stream.expectOperator(":");
    const part = () => (this.#stream.isOperator("]", ":") ? undefined : this.expression());
    const stop = part();
    const step = this.#stream.skipOperator(":") ? part() : undefined;
    this.#stream.expectOperator("]");
    return { kind: "slice", object, start, stop, step };
  }

  #filtersAndTests(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.#stream.isOperator("|")) node = this.filters(node)!;
      else if (this.#stream.skipName("is")) node = this.#test(node);
      else if (this.#stream.isOperator("(")) node = { kind: "call", callee: node, args: this.callArguments() };
      else return node;
    }
  }

  /** Filters from here on, applied to `input`; `inline` when the first one has no "|" before it. */
  filters(input: Part, inline = false): Part {
    let node = input;
    for (let first = inline; first || this.#stream.isOperator("|"); first = false) {
      if (!first) this.#stream.next();
      const name = this.#dottedName();
      const args = this.#stream.isOperator("(") ? this.callArguments() : NO_ARGUMENTS;
      node = { kind: "filter", input: node, name, args };
    }
    return node;
  }

  #dottedName(): string {
    let name = this.#stream.name();
    while (this.#stream.skipOperator(".")) name += `.${this.#stream.name()}`;
    return name;
  }

  #test(input: Expression): Expression {
    const negated = this.#stream.skipName("not");
    const name = this.#dottedName();
    const { kind } = this.#stream.current;
    let args = NO_ARGUMENTS;
    if (this.#stream.isOperator("(")) args = this.callArguments();
    else if (kind === "string" || kind === "number" || this.#stream.isOperator("[", "{") || this.#startsOperand()) {
      if (this.#stream.isName("is")) throw this.#stream.error("You cannot chain multiple tests with is");
      args = { ...NO_ARGUMENTS, positional: [this.#postfix(this.#primary())] };
    }
    const test: Expression = { kind: "test", input, name, args };
    return negated ? { kind: "not", operand: test } : test;
  }

  #startsOperand(): boolean {
    return this.#stream.current.kind === "name" && !this.#stream.isName("else", "or", "and");
  }

  callArguments(): Arguments {
    this.#stream.expectOperator("(");
    const args: Arguments = { positional: [], named: [], rest: undefined, namedRest: undefined };
    for (let first = true; !this.#stream.isOperator(")"); first = false) {
      if (!first) this.#stream.expectOperator(",");
      if (this.#stream.isOperator(")")) break;
      this.#argument(args);
    }
    this.#stream.expectOperator(")");
    return args;
  }

  #argument(args: Arguments): void {
    const ensure = (holds: boolean) => {
      if (!holds) throw this.#stream.error("invalid syntax for function call expression");
    };
    if (this.#stream.skipOperator("*")) {
      ensure(!args.rest && !args.namedRest);
      args.rest = this.expression();
    } else if (this.#stream.skipOperator("**")) {
      ensure(!args.namedRest);
      args.namedRest = this.expression();
    } else if (
      this.#stream.isName() &&
      this.#stream.following.kind === "operator" &&
      this.#stream.following.text === "="
    ) {
      ensure(!args.namedRest);
      const name = this.#stream.next().text;
      this.#stream.next();
      args.named.push([name, this.expression()]);
    } else {
      ensure(!args.rest && !args.namedRest && args.named.length === 0);
      args.positional.push(this.expression());
    }
  }
}

const NO_ARGUMENTS: Arguments = { positional: [], named: [], rest: undefined, namedRest: undefined };

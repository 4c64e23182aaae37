/** Jinja's statements. */
import { ExpressionParser } from "./expression-parser.js";
import { tokenize } from "./lexer.js";
import type { Expression, FilterExpression, Parameter, Statement, Target } from "./nodes.js";
import { TokenStream } from "./token-stream.js";

const NOT_ASSIGNABLE = ["true", "false", "none", "True", "False", "None"];
const FROM_OTHER_FILES = ["include", "import", "from", "extends"];

/** Errors: TemplateSyntaxError. */
export function parseTemplate(template: string): Statement[] {
  return new Parser(template).template();
}

class Parser {
  readonly #stream: TokenStream;
  readonly #expressions: ExpressionParser;

  constructor(template: string) {
    this.#stream = new TokenStream(tokenize(template));
    this.#expressions = new ExpressionParser(this.#stream);
  }

  template(): Statement[] {
    return this.#statements([]).body;
  }

  /** Statements up to a tag of one of these names, of which the name has been read, or to the end of the template. */
  #statements(ends: string[]): { body: Statement[]; end: string } {
    const body: Statement[] = [];
    for (;;) {
      const { kind, text, line } = this.#stream.current;
      if (kind === "eof") {
        if (ends.length === 0) return { body, end: "" };
        throw this.#stream.error(`the template ends before ${ends.join(" or ")}`);
      }
      this.#stream.next();
      if (kind === "data") body.push({ kind: "data", text, line });
      else if (text === "{{") {
        body.push({ kind: "output", value: this.#expressions.tuple(), line });
        this.#stream.expectEnd();
      } else {
        if (this.#stream.isName(...(ends.length > 0 ? ends : [""]))) return { body, end: this.#stream.next().text };
        body.push(...this.#stream.nested(() => this.#statement()));
        this.#stream.expectEnd();
      }
    }
  }

  /** The body of a tag that begins here, up to its end tag. */
  #body(...ends: string[]): { body: Statement[]; end: string } {
    this.#stream.skipOperator(":");
    this.#stream.expectEnd();
    return this.#statements(ends);
  }

  #statement(): Statement[] {
    const { line } = this.#stream.current;
    const tag = this.#stream.name();
    switch (tag) {
      case "if":
        return [{ ...this.#if(), line }];
      case "for":
        return [{ ...this.#for(), line }];
      case "set":
        return [{ ...this.#set(), line }];
      case "with":
        return [{ ...this.#with(), line }];
      case "macro": {
        const name = this.#assignableName();
        return [{ kind: "macro", name, parameters: this.#parameters(), body: this.#body("endmacro").body, line }];
      }
      case "call":
        return [{ ...this.#call(), line }];
      case "filter": {
        const filter = this.#expressions.filters(undefined, true) as FilterExpression;
        return [{ kind: "filter block", filter, body: this.#body("endfilter").body, line }];
      }
      case "generation":
        return [{ kind: "generation", body: this.#body("endgeneration").body, line }];
      case "autoescape":
        // Texts are never escaped unasked: chats are not HTML.
        this.#expressions.expression();
        return [{ kind: "scope", body: this.#body("endautoescape").body, line }];
      case "block": {
        const name = this.#stream.name();
        this.#stream.skipName("scoped");
        const required = this.#stream.skipName("required");
        const { body } = this.#body("endblock");
        this.#stream.skipName(name);
        return [{ kind: "block", name, required, body, line }];
      }
      case "print":
        return this.#print();
      case "break":
      case "continue":
        return [{ kind: tag, line }];
    }
    if (FROM_OTHER_FILES.includes(tag))
      throw this.#stream.error(`{% ${tag} %} would read another file, which templates cannot`);
    throw this.#stream.error(`Encountered unknown tag '${tag}'`);
  }

  #if() {
    const branches: [Expression, Statement[]][] = [];
    for (;;) {
      const test = this.#expressions.tuple({ condition: false });
      const { body, end } = this.#body("elif", "else", "endif");
      branches.push([test, body]);
      if (end === "elif") continue;
      return { kind: "if" as const, branches, otherwise: end === "else" ? this.#body("endif").body : [] };
    }
  }

  #for() {
    const target = this.#target(["in"], false);
    this.#stream.expectName("in");
    const items = this.#expressions.tuple({ condition: false, endNames: ["recursive"] });
    const test = this.#stream.skipName("if") ? this.#expressions.expression() : undefined;
    const recursive = this.#stream.skipName("recursive");
    const { body, end } = this.#body("endfor", "else");
    const otherwise = end === "else" ? this.#body("endfor").body : [];
    return { kind: "for" as const, target, items, test, recursive, body, otherwise };
  }

  #set() {
    const target = this.#target([], true);
    if (this.#stream.skipOperator("=")) return { kind: "set" as const, target, value: this.#expressions.tuple() };
    const filter = this.#expressions.filters(undefined) as FilterExpression | undefined;
    return { kind: "set block" as const, target, filter, body: this.#body("endset").body };
  }

  #with() {
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (this.#stream.current.kind !== "end") {
      if (targets.length > 0) this.#stream.expectOperator(",");
      targets.push(this.#target([], false));
      this.#stream.expectOperator("=");
      values.push(this.#expressions.expression());
    }
    return { kind: "with" as const, targets, values, body: this.#body("endwith").body };
  }

  #call() {
    const parameters = this.#stream.isOperator("(") ? this.#parameters() : [];
    const call = this.#expressions.expression();
    if (call.kind !== "call") throw this.#stream.error("expected call");
    return { kind: "call block" as const, parameters, call, body: this.#body("endcall").body };
  }

  #print(): Statement[] {
    const { line } = this.#stream.current;
    const values: Statement[] = [];
    while (this.#stream.current.kind !== "end") {
      if (values.length > 0) this.#stream.expectOperator(",");
      values.push({ kind: "output", value: this.#expressions.expression(), line });
    }
    return values;
  }

  #parameters(): Parameter[] {
    const parameters: Parameter[] = [];
    this.#stream.expectOperator("(");
    while (!this.#stream.isOperator(")")) {
      if (parameters.length > 0) this.#stream.expectOperator(",");
      const name = this.#assignableName();
      const fallback = this.#stream.skipOperator("=") ? this.#expressions.expression() : undefined;
      if (!fallback && parameters.at(-1)?.fallback)
        throw this.#stream.error("non-default argument follows default argument");
      parameters.push({ name, fallback });
    }
    this.#stream.expectOperator(")");
    return parameters;
  }

  /** What is assigned to: a name, a namespace's attribute where `members` allows it, or several in a tuple. */
  #target(endNames: string[], members: boolean): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#stream.expectOperator(",");
      if (this.#stream.current.kind === "end" || this.#stream.isOperator(")", "=") || this.#isEndName(endNames)) break;
      items.push(this.#singleTarget(members));
      if (!this.#stream.isOperator(",")) break;
      isTuple = true;
    }
    if (items.length === 0) throw this.#stream.unexpected("a name");
    return isTuple ? { kind: "tuple", items } : items[0]!;
  }

  #isEndName(names: string[]): boolean {
    return names.length > 0 && this.#stream.isName(...names);
  }

  #singleTarget(members: boolean): Target {
    if (this.#stream.skipOperator("(")) {
      const inner = this.#stream.nested(() => this.#target([], members));
      this.#stream.expectOperator(")");
      return inner;
    }
    const name = this.#assignableName();
    if (members && this.#stream.skipOperator(".")) {
      return { kind: "member", namespace: name, attribute: this.#stream.name() };
    }
    return { kind: "name", name };
  }

  #assignableName(): string {
    const name = this.#stream.name();
    if (NOT_ASSIGNABLE.includes(name)) throw this.#stream.error(`can't assign to '${name}'`);
    return name;
  }
}

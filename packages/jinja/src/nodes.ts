/** The syntax tree of a template. */
import type { ArithmeticOperator } from "./operations.js";

export type Expression =
  | { kind: "constant"; value: null | boolean | bigint | number | string }
  | { kind: "name"; name: string }
  | { kind: "tuple" | "list"; items: Expression[] }
  | { kind: "dict"; entries: [key: Expression, value: Expression][] }
  | { kind: "attribute"; object: Expression; name: string }
  | { kind: "item"; object: Expression; key: Expression }
  | { kind: "slice"; object: Expression; start: Part; stop: Part; step: Part }
  | { kind: "call"; callee: Expression; args: Arguments }
  | { kind: "filter"; input: Expression | undefined; name: string; args: Arguments }
  | { kind: "test"; input: Expression; name: string; args: Arguments }
  | { kind: "condition"; test: Expression; yes: Expression; no: Part }
  | { kind: "and" | "or"; left: Expression; right: Expression }
  | { kind: "not" | "negative" | "positive"; operand: Expression }
  | { kind: "compare"; first: Expression; rest: [operator: Comparison, operand: Expression][] }
  | { kind: "arithmetic"; operator: ArithmeticOperator; left: Expression; right: Expression }
  | { kind: "concat"; items: Expression[] };

export type Part = Expression | undefined;
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";
export type CallExpression = Extract<Expression, { kind: "call" }>;
export type FilterExpression = Extract<Expression, { kind: "filter" }>;

export interface Arguments {
  positional: Expression[];
  named: [name: string, value: Expression][];
  rest: Part;
  namedRest: Part;
}

export type Target =
  | { kind: "name"; name: string }
  | { kind: "member"; namespace: string; attribute: string }
  | { kind: "tuple"; items: Target[] };

export interface Parameter {
  name: string;
  fallback: Part;
}

export type Statement = { line: number } & (
  | { kind: "data"; text: string }
  | { kind: "output"; value: Expression }
  | { kind: "if"; branches: [test: Expression, body: Statement[]][]; otherwise: Statement[] }
  | ForStatement
  | { kind: "set"; target: Target; value: Expression }
  | { kind: "set block"; target: Target; filter: FilterExpression | undefined; body: Statement[] }
  | { kind: "with"; targets: Target[]; values: Expression[]; body: Statement[] }
  | { kind: "filter block"; filter: FilterExpression; body: Statement[] }
  | MacroStatement
  | CallBlockStatement
  | { kind: "generation"; body: Statement[] }
  | { kind: "scope"; body: Statement[] }
  | { kind: "block"; name: string; required: boolean; body: Statement[] }
  | { kind: "break" | "continue" }
);

export interface ForStatement {
  kind: "for";
  target: Target;
  items: Expression;
  test: Part;
  recursive: boolean;
  body: Statement[];
  otherwise: Statement[];
}

export interface MacroStatement {
  kind: "macro";
  name: string;
  parameters: Parameter[];
  body: Statement[];
}

export interface CallBlockStatement {
  kind: "call block";
  parameters: Parameter[];
  call: CallExpression;
  body: Statement[];
}

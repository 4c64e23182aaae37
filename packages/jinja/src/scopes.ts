/**
 * Which variable a name means, decided before rendering by Jinja2's rules: a loop's body, a macro, a block and a `with`
 * have scopes of their own; a branch of an `if` has none. A name that a scope sets is a variable of that scope, which
 * starts as the outer one of that name, and an inner scope never changes an outer one's.
 */
import type { Arguments, Expression, Parameter, Part, Statement, Target } from "./nodes.js";

/** A function of the template: the whole of it, a macro, the body of a call, or a recursive loop. It has its own slots. */
export class Unit {
  readonly depth: number;
  size = 0;

  constructor(parent?: Unit) {
    this.depth = parent ? parent.depth + 1 : 0;
  }
}

export interface Slot {
  unit: Unit;
  index: number;
}

/** How a variable gets its value when its scope is entered. */
export type Load = { kind: "given" } | { kind: "undefined" } | { kind: "context" } | { kind: "outer"; slot: Slot };

export class Scope {
  readonly unit: Unit;
  readonly parent: Scope | undefined;
  /** Slots by name, which the branches of an `if` share. */
  readonly #slots: Map<string, Slot>;
  #known = new Set<string>();
  #stores = new Set<string>();
  #loads = new Map<string, Load>();

  constructor(unit: Unit, parent?: Scope, slots = new Map<string, Slot>()) {
    this.unit = unit;
    this.parent = parent;
    this.#slots = slots;
  }

  inner(unit = this.unit): Scope {
    return new Scope(unit, this);
  }

  slotOf(name: string): Slot | undefined {
    return this.#known.has(name) ? this.#slots.get(name) : this.parent?.slotOf(name);
  }

  /** The variables to fill when the scope is entered. */
  *loads(): Generator<[name: string, slot: Slot, load: Load]> {
    for (const [name, load] of this.#loads) yield [name, this.#slots.get(name)!, load];
  }

  parameter(name: string): Slot {
    this.#stores.add(name);
    return this.#define(name, { kind: "given" });
  }

  store(name: string): void {
    this.#stores.add(name);
    if (this.#known.has(name)) return;
    const slot = this.parent?.slotOf(name);
    this.#define(name, slot ? { kind: "outer", slot } : { kind: "undefined" });
  }

  load(name: string): void {
    if (this.slotOf(name) === undefined) this.#define(name, { kind: "context" });
  }

  /** After an `if`: what only some branches set is, where they were not taken, what it was outside. */
  branches(analyses: readonly ((branch: Scope) => void)[]): void {
    const branches = analyses.map((analyse) => {
      const branch = new Scope(this.unit, this.parent, this.#slots);
      branch.#known = new Set(this.#known);
      branch.#stores = new Set(this.#stores);
      branch.#loads = new Map(this.#loads);
      analyse(branch);
      return branch;
    });
    const stored = new Set(branches.flatMap((branch) => [...branch.#stores]).filter((name) => !this.#stores.has(name)));
    for (const branch of branches) {
      for (const name of branch.#known) this.#known.add(name);
      for (const name of branch.#stores) this.#stores.add(name);
      for (const [name, load] of branch.#loads) this.#loads.set(name, load);
    }
    for (const name of stored) {
      const slot = this.parent?.slotOf(name);
      this.#loads.set(name, slot ? { kind: "outer", slot } : { kind: "context" });
    }
  }

  #define(name: string, load: Load): Slot {
    let slot = this.#slots.get(name);
    if (!slot) {
      slot = { unit: this.unit, index: this.unit.size++ };
      this.#slots.set(name, slot);
    }
    this.#known.add(name);
    this.#loads.set(name, load);
    return slot;
  }
}

/** Finds the names that statements use in a scope; the bodies of inner scopes are left out. */
export function analyse(scope: Scope, statements: readonly Statement[]): void {
  for (const statement of statements) analyseStatement(scope, statement);
}

function analyseStatement(scope: Scope, statement: Statement): void {
  switch (statement.kind) {
    case "output":
      return analyseExpression(scope, statement.value);
    case "if":
      return analyseBranches(scope, statement.branches, statement.otherwise);
    case "for":
      return analyseExpression(scope, statement.items);
    case "set":
      analyseExpression(scope, statement.value);
      return analyseTarget(scope, statement.target);
    case "set block":
      analyseTarget(scope, statement.target);
      return;
    case "with":
      return statement.values.forEach((value) => analyseExpression(scope, value));
    case "filter block":
      return analyseExpression(scope, statement.filter);
    case "macro":
      return scope.store(statement.name);
    case "call block":
      return analyseExpression(scope, statement.call);
    case "data":
    case "break":
    case "continue":
    case "generation":
    case "scope":
    case "block":
      return;
  }
}

function analyseBranches(scope: Scope, branches: [Expression, Statement[]][], otherwise: Statement[]): void {
  const [first, ...others] = branches;
  analyseExpression(scope, first![0]);
  scope.branches([
    (branch) => analyse(branch, first![1]),
    (branch) => others.forEach(([test, body]) => analyseBranches(branch, [[test, body]], [])),
    (branch) => analyse(branch, otherwise),
  ]);
}

/** A target's names are set; those of a loop or a `with` are given. */
export function analyseTarget(scope: Scope, target: Target, given = false): void {
  if (target.kind === "tuple") target.items.forEach((item) => analyseTarget(scope, item, given));
  else if (target.kind === "member") scope.load(target.namespace);
  else if (given) scope.parameter(target.name);
  else scope.store(target.name);
}

export function analyseExpression(scope: Scope, expression: Expression): void {
  if (expression.kind === "name") scope.load(expression.name);
  else for (const part of partsOf(expression)) analyseExpression(scope, part);
}

/** Whether a name is read anywhere in statements, inner scopes included. */
export function mentions(statements: readonly Statement[], name: string): boolean {
  const inExpression = (expression: Part): boolean => {
    if (expression === undefined) return false;
    return expression.kind === "name" ? expression.name === name : partsOf(expression).some(inExpression);
  };
  const inParameters = (parameters: readonly Parameter[]) => parameters.some(({ fallback }) => inExpression(fallback));
  const inStatement = (statement: Statement): boolean => {
    switch (statement.kind) {
      case "output":
      case "set":
        return inExpression(statement.value);
      case "if":
        return (
          statement.branches.some(([test, body]) => inExpression(test) || body.some(inStatement)) ||
          statement.otherwise.some(inStatement)
        );
      case "for":
        return (
          inExpression(statement.items) ||
          inExpression(statement.test) ||
          statement.body.some(inStatement) ||
          statement.otherwise.some(inStatement)
        );
      case "with":
        return statement.values.some(inExpression) || statement.body.some(inStatement);
      case "set block":
      case "filter block":
        return inExpression(statement.filter) || statement.body.some(inStatement);
      case "macro":
        return inParameters(statement.parameters) || statement.body.some(inStatement);
      case "call block":
        return inExpression(statement.call) || inParameters(statement.parameters) || statement.body.some(inStatement);
      case "generation":
      case "scope":
      case "block":
        return statement.body.some(inStatement);
      case "data":
      case "break":
      case "continue":
        return false;
    }
  };
  return statements.some(inStatement);
}

function partsOf(expression: Expression): Expression[] {
  switch (expression.kind) {
    case "constant":
    case "name":
      return [];
    case "tuple":
    case "list":
    case "concat":
      return expression.items;
    case "dict":
      return expression.entries.flat();
    case "attribute":
      return [expression.object];
    case "item":
      return [expression.object, expression.key];
    case "slice":
      return present(expression.object, expression.start, expression.stop, expression.step);
    case "call":
      return [expression.callee, ...partsOfArguments(expression.args)];
    case "filter":
    case "test":
      return [...present(expression.input), ...partsOfArguments(expression.args)];
    case "condition":
      return present(expression.test, expression.yes, expression.no);
    case "and":
    case "or":
    case "arithmetic":
      return [expression.left, expression.right];
    case "not":
    case "negative":
    case "positive":
      return [expression.operand];
    case "compare":
      return [expression.first, ...expression.rest.map(([, operand]) => operand)];
  }
}

function partsOfArguments({ positional, named, rest, namedRest }: Arguments): Expression[] {
  return [...positional, ...named.map(([, value]) => value), ...present(rest, namedRest)];
}

function present(...parts: Part[]): Expression[] {
  return parts.filter((part) => part !== undefined);
}

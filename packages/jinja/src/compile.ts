/** Statements to functions that carry them out: a template is compiled once and rendered many times. */
import {
  compileArguments,
  compileExpression,
  compileFilter,
  type Evaluate,
  type Frame,
} from "./compile-expressions.js";
import { compileFor } from "./compile-loops.js";
import { compileCaller, compileMacro, macroCall } from "./compile-macros.js";
import { compileEntry, compileInner, type Execute, type Signal } from "./compile-scopes.js";
import { compileTarget } from "./compile-targets.js";
import { TemplateSyntaxError } from "./errors.js";
import type { CallBlockStatement, FilterExpression, Statement } from "./nodes.js";
import { str } from "./printing.js";
import type { Rendition } from "./runtime.js";
import { analyse, analyseExpression, analyseTarget, Scope, Unit } from "./scopes.js";
import { truthy, type Value } from "./values.js";

/** The whole template as a function. Errors: TemplateSyntaxError. */
export function compileTemplate(statements: readonly Statement[]): (runtime: Rendition) => void {
  const unit = new Unit();
  const scope = new Scope(unit);
  analyse(scope, statements);
  const body = compileBody(statements, scope, false);
  const enter = compileEntry(scope);
  return (runtime) => {
    const frame: Frame = { slots: new Array<undefined>(unit.size), parent: undefined, runtime };
    enter(frame);
    body(frame);
  };
}

/** Statements in a scope whose names are known. */
export function compileBody(statements: readonly Statement[], scope: Scope, inLoop: boolean): Execute {
  const compiled = statements.map((statement) => {
    const execute = compileStatement(statement, scope, inLoop);
    const { line } = statement;
    return (frame: Frame): Signal => {
      frame.runtime.line = line;
      frame.runtime.meter.step();
      return execute(frame);
    };
  });
  return (frame) => {
    for (const execute of compiled) {
      const signal = execute(frame);
      if (signal !== "done") return signal;
    }
    return "done";
  };
}

function compileStatement(statement: Statement, scope: Scope, inLoop: boolean): Execute {
  const done =
    (work: (frame: Frame) => void): Execute =>
    (frame) => {
      work(frame);
      return "done";
    };
  switch (statement.kind) {
    case "data": {
      const { text } = statement;
      return done(({ runtime }) => runtime.write(text));
    }
    case "output": {
      const value = compileExpression(statement.value, scope);
      return done((frame) => frame.runtime.write(str(value(frame), frame.runtime.meter)));
    }
    case "if":
      return compileIf(statement, scope, inLoop);
    case "for":
      return compileFor(statement, scope, compileBody);
    case "set": {
      const [value, assign] = [compileExpression(statement.value, scope), compileTarget(statement.target, scope)];
      return done((frame) => assign(frame, value(frame)));
    }
    case "set block": {
      const assign = compileTarget(statement.target, scope);
      const captured = compileCaptured(statement.body, statement.filter, scope, inLoop);
      return done((frame) => assign(frame, captured(frame)));
    }
    case "filter block": {
      const captured = compileCaptured(statement.body, statement.filter, scope, inLoop);
      return done((frame) => frame.runtime.write(str(captured(frame), frame.runtime.meter)));
    }
    case "with": {
      const inner = scope.inner();
      for (const target of statement.targets) analyseTarget(inner, target, true);
      analyse(inner, statement.body);
      const values = statement.values.map((value) => compileExpression(value, scope));
      const assigns = statement.targets.map((target) => compileTarget(target, inner));
      const [enter, body] = [compileEntry(inner), compileBody(statement.body, inner, inLoop)];
      return (frame) => {
        enter(frame);
        const given = values.map((value) => value(frame));
        assigns.forEach((assign, index) => assign(frame, given[index]!));
        return body(frame);
      };
    }
    case "scope":
    case "block": {
      if (statement.kind === "block" && statement.required)
        throw new TemplateSyntaxError("a required block", statement.line);
      let outer = scope;
      while (statement.kind === "block" && outer.unit.depth === 0 && outer.parent) outer = outer.parent;
      return compileInner(statement.body, outer, statement.kind === "scope" && inLoop, compileBody);
    }
    case "macro": {
      const macro = compileMacro(statement.name, statement.parameters, statement.body, scope, compileBody);
      const assign = compileTarget({ kind: "name", name: statement.name }, scope);
      return done((frame) => assign(frame, macro(frame)));
    }
    case "call block":
      return done(compileCallBlock(statement, scope));
    case "generation": {
      const caller = compileCaller([], statement.body, scope, compileBody);
      return done((frame) => frame.runtime.generation(() => macroCall(caller(frame), frame.runtime)));
    }
    case "break":
    case "continue": {
      const { kind, line } = statement;
      if (!inLoop) throw new TemplateSyntaxError(`'${kind}' outside loop`, line);
      return () => kind;
    }
  }
}

function compileIf(statement: Extract<Statement, { kind: "if" }>, scope: Scope, inLoop: boolean): Execute {
  const branches = statement.branches.map(
    ([test, body]) => [compileExpression(test, scope), compileBody(body, scope, inLoop)] as const,
  );
  const otherwise = compileBody(statement.otherwise, scope, inLoop);
  return (frame) => {
    for (const [test, body] of branches) if (truthy(test(frame))) return body(frame);
    return otherwise(frame);
  };
}

/** What a block writes, filtered. A break or continue in it would leave it half written: Jinja2 refuses it too. */
function compileCaptured(
  body: readonly Statement[],
  filter: FilterExpression | undefined,
  scope: Scope,
  inLoop: boolean,
): Evaluate {
  const inner = scope.inner();
  analyse(inner, body);
  if (filter) analyseExpression(inner, filter);
  const [enter, execute] = [compileEntry(inner), compileBody(body, inner, inLoop)];
  const apply = filter && compileFilterChain(filter, inner);
  return (frame) => {
    enter(frame);
    const text = frame.runtime.captured(() => execute(frame));
    return apply ? apply(text, frame) : text;
  };
}

function compileFilterChain(filter: FilterExpression, scope: Scope): (input: Value, frame: Frame) => Value {
  const before = filter.input?.kind === "filter" ? compileFilterChain(filter.input, scope) : undefined;
  const apply = compileFilter(filter.name, filter.args, scope);
  return (input, frame) => apply(before ? before(input, frame) : input, frame);
}

function compileCallBlock({ parameters, call, body }: CallBlockStatement, scope: Scope): (frame: Frame) => void {
  const caller = compileCaller(parameters, body, scope, compileBody);
  const callee = compileExpression(call.callee, scope);
  const given = compileArguments(call.args, scope);
  return (frame) => {
    const function_ = callee(frame);
    const { positional, kwargs } = given(frame);
    const { runtime } = frame;
    const named = new Map([...kwargs, ["caller", caller(frame)]]);
    runtime.write(str(macroCall(function_, runtime, positional, named), runtime.meter));
  };
}

/** Loops. */
import { compileEntry, compileInner, type CompileBody, type Execute } from "./compile-scopes.js";
import { compileExpression, type Frame } from "./compile-expressions.js";
import { compileTarget } from "./compile-targets.js";
import { LoopContext } from "./loop-context.js";
import type { Expression, ForStatement, Target } from "./nodes.js";
import { iterate } from "./operations.js";
import { analyse, analyseExpression, analyseTarget, mentions, Unit, type Scope } from "./scopes.js";
import { truthy, Undefined, type List, type Value } from "./values.js";

type RunLoop = (frame: Frame, items: Value, depth: number) => void;

export function compileFor(statement: ForStatement, scope: Scope, compileBody: CompileBody): Execute {
  const items = compileExpression(statement.items, scope);
  if (!statement.recursive) {
    const run = compileLoop(statement, scope, scope.unit, compileBody, undefined);
    return (frame) => {
      run(frame, items(frame), 0);
      return "done";
    };
  }
  const unit = new Unit(scope.unit);
  const recurse = (parent: Frame, value: Value, depth: number): string =>
    parent.runtime.meter.nested(() => {
      const frame: Frame = { slots: new Array<undefined>(unit.size), parent, runtime: parent.runtime };
      return parent.runtime.captured(() => run(frame, value, depth));
    });
  const run = compileLoop(statement, scope, unit, compileBody, recurse);
  return (frame) => {
    frame.runtime.write(recurse(frame, items(frame), 0));
    return "done";
  };
}

function compileLoop(
  { target, test, body, otherwise }: ForStatement,
  outer: Scope,
  unit: Unit,
  compileBody: CompileBody,
  recurse: ((parent: Frame, items: Value, depth: number) => string) | undefined,
): RunLoop {
  const scope = outer.inner(unit);
  const loopSlot = recurse || mentions(body, "loop") ? scope.parameter("loop") : undefined;
  analyseTarget(scope, target, true);
  analyse(scope, body);
  const assign = compileTarget(target, scope);
  const [enter, execute] = [compileEntry(scope), compileBody(body, scope, true)];
  const accepts = test && compileLoopTest(target, test, outer.inner(unit));
  const orElse = otherwise.length > 0 ? compileInner(otherwise, outer.inner(unit), false, compileBody) : undefined;

  return (frame, value, depth) => {
    const { runtime } = frame;
    if (!recurse && !accepts && !loopSlot && value instanceof Undefined) return void orElse?.(frame);
    let items: Iterable<Value> = iterate(value);
    if (accepts) items = filtered(items, accepts, frame);
    let loop: LoopContext | undefined;
    if (loopSlot) {
      const list: List = [];
      for (const item of items) {
        runtime.meter.step();
        list.push(item);
      }
      items = list;
      loop = new LoopContext(
        list,
        depth,
        recurse && ((inner, innerDepth) => recurse(frame.parent!, inner, innerDepth)),
      );
    }
    let completed = false;
    for (const item of items) {
      runtime.meter.step();
      loop?.advance();
      const signal = runtime.tracker.round(item, () => {
        assign(frame, item);
        if (loopSlot) frame.slots[loopSlot.index] = loop;
        enter(frame);
        return execute(frame);
      });
      if (signal === "break") break;
      // As in Jinja2, a round that is left early does not keep `else` from being carried out.
      if (signal === "done") completed = true;
    }
    if (!completed) orElse?.(frame);
  };
}

function compileLoopTest(target: Target, test: Expression, scope: Scope): (frame: Frame, item: Value) => boolean {
  analyseTarget(scope, target, true);
  analyseExpression(scope, test);
  const [enter, assign, accepts] = [compileEntry(scope), compileTarget(target, scope), compileExpression(test, scope)];
  return (frame, item) => {
    enter(frame);
    assign(frame, item);
    return truthy(accepts(frame));
  };
}

function* filtered(
  items: Iterable<Value>,
  accepts: (frame: Frame, item: Value) => boolean,
  frame: Frame,
): Generator<Value> {
  for (const item of items) {
    frame.runtime.meter.step();
    if (accepts(frame, item)) yield item;
  }
}

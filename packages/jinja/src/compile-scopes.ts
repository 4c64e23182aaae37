/** What statements are compiled to, and how a scope is entered. */
import { frameOf, type Frame } from "./compile-expressions.js";
import type { Statement } from "./nodes.js";
import { analyse, type Scope } from "./scopes.js";

/** How a statement ended. */
export type Signal = "done" | "break" | "continue";
export type Execute = (frame: Frame) => Signal;
/** Compiles statements in a scope whose names are known. */
export type CompileBody = (statements: readonly Statement[], scope: Scope, inLoop: boolean) => Execute;

/** Fills a scope's variables. */
export function compileEntry(scope: Scope): (frame: Frame) => void {
  const loads = [...scope.loads()].flatMap(([name, { index }, load]): ((frame: Frame) => void)[] => {
    if (load.kind === "given") return [];
    if (load.kind === "context") {
      return [(frame) => void (frame.slots[index] = frame.runtime.context.get(name))];
    }
    if (load.kind === "undefined") return [(frame) => void (frame.slots[index] = undefined)];
    const holder = frameOf(load.slot, scope.unit);
    const outer = load.slot.index;
    return [(frame) => void (frame.slots[index] = holder(frame).slots[outer])];
  });
  return (frame) => {
    for (const load of loads) load(frame);
  };
}

/** Statements in a scope of their own. */
export function compileInner(
  statements: readonly Statement[],
  outer: Scope,
  inLoop: boolean,
  compileBody: CompileBody,
): Execute {
  const scope = outer.inner();
  analyse(scope, statements);
  const [enter, body] = [compileEntry(scope), compileBody(statements, scope, inLoop)];
  return (frame) => {
    enter(frame);
    return body(frame);
  };
}

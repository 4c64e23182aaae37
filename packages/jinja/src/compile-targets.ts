/** What a value is assigned to. */
import { compileExpression, type Frame } from "./compile-expressions.js";
import { TemplateError } from "./errors.js";
import type { Target } from "./nodes.js";
import { listOf } from "./operations.js";
import type { Scope } from "./scopes.js";
import { Namespace, typeName, Undefined, type Value } from "./values.js";

export type Assign = (frame: Frame, value: Value) => void;

export function compileTarget(target: Target, scope: Scope): Assign {
  switch (target.kind) {
    case "name": {
      const { index } = scope.slotOf(target.name)!;
      return (frame, value) => {
        frame.slots[index] = value;
        frame.runtime.tracker.assigned(value);
      };
    }
    case "member": {
      const holder = compileExpression({ kind: "name", name: target.namespace }, scope);
      const { attribute } = target;
      return (frame, value) => {
        const namespace = holder(frame);
        if (!(namespace instanceof Namespace))
          throw new TemplateError("cannot assign attribute on non-namespace object");
        if (attribute.startsWith("_")) {
          throw new TemplateError(
            `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${attribute}'`,
          );
        }
        namespace.attributes.set(attribute, value);
      };
    }
    case "tuple": {
      const assigns = target.items.map((item) => compileTarget(item, scope));
      return (frame, value) => {
        if (value instanceof Undefined) throw value.fail();
        const items = listOf(value, frame.runtime.meter);
        if (items.length !== assigns.length) {
          throw new TemplateError(
            `expected ${assigns.length} values to unpack, got ${items.length} (of ${typeName(value)})`,
          );
        }
        assigns.forEach((assign, index) => assign(frame, items[index]!));
      };
    }
  }
}

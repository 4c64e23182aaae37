import { TemplateError } from "./errors.js";
import type { Meter } from "./limits.js";
import { equals } from "./operations.js";
import { Callable, Tuple, Undefined, WithAttributes, type List, type Value, type Runtime } from "./values.js";

/** The variable `loop`. */
export class LoopContext extends WithAttributes {
  override readonly typeName = "LoopContext";
  readonly #items: List;
  readonly #depth: number;
  #index = -1;
  #lastChanged: Tuple | undefined;

  /** `recurse` renders the loop's body for other items, one level deeper; undefined where the loop is not recursive. */
  constructor(
    items: List,
    depth: number,
    recurse: ((items: Value, depth: number, runtime: Runtime) => string) | undefined,
  ) {
    super("loop", (args, _kwargs, runtime) => {
      if (!recurse) throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
      if (args.length !== 1) throw new TemplateError("loop() takes the items to loop over");
      return recurse(args[0]!, depth + 1, runtime);
    });
    this.#items = items;
    this.#depth = depth;
  }

  advance(): void {
    this.#index++;
  }

  attribute(name: string): Value | undefined {
    const index = this.#index;
    const { length } = this.#items;
    switch (name) {
      case "index":
        return BigInt(index + 1);
      case "index0":
        return BigInt(index);
      case "revindex":
        return BigInt(length - index);
      case "revindex0":
        return BigInt(length - index - 1);
      case "first":
        return index === 0;
      case "last":
        return index === length - 1;
      case "length":
        return BigInt(length);
      case "depth":
        return BigInt(this.#depth + 1);
      case "depth0":
        return BigInt(this.#depth);
      case "previtem":
        return this.#items[index - 1] ?? this.#missing(index - 1, "there is no previous item");
      case "nextitem":
        return this.#items[index + 1] ?? this.#missing(index + 1, "there is no next item");
      case "cycle":
        return new Callable("cycle", (args) => {
          if (args.length === 0) throw new TemplateError("no items for cycling given");
          return args[index % args.length]!;
        });
      case "changed":
        return new Callable("changed", (args, _kwargs, { meter }) => this.#changed(new Tuple(args), meter));
    }
    return undefined;
  }

  #missing(index: number, hint: string): Value {
    // An item that is None is there.
    return index >= 0 && index < this.#items.length ? null : new Undefined(() => hint);
  }

  #changed(values: Tuple, meter: Meter): boolean {
    if (this.#lastChanged && equals(this.#lastChanged, values, meter)) return false;
    this.#lastChanged = values;
    return true;
  }
}

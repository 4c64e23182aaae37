/** The functions that every chat template can call: Jinja2's, and transformers' raise_exception and strftime_now. */
import { indexArgument, textArgument } from "./arguments.js";
import { copyOf } from "./container-methods.js";
import { TemplateError } from "./errors.js";
import { MAX_RANGE } from "./limits.js";
import { native, type Bound } from "./native.js";
import { iterate, listOf } from "./operations.js";
import { str } from "./printing.js";
import { strftime } from "./strftime.js";
import {
  Callable,
  Dict,
  Namespace,
  Range,
  typeName,
  Undefined,
  WithAttributes,
  type List,
  type Value,
} from "./values.js";

function global(signature: string, run: (bound: Bound) => Value): [string, Callable] {
  const { name, bind } = native(signature);
  return [name, new Callable(name, (args, kwargs, runtime) => run(bind(args, kwargs, runtime)))];
}

/** `now` is what strftime_now prints. */
export function globals(now: Date): [string, Callable][] {
  return [
    global("raise_exception(message)", ({ values, runtime: { meter } }) => {
      throw new TemplateError(str(values[0]!, meter));
    }),
    global("strftime_now(format)", ({ values, runtime: { meter } }) => {
      return meter.made(strftime(textArgument(values[0]!, "format"), now));
    }),
    global("range(*args, /)", ({ rest }) => range(rest)),
    ["dict", DICT],
    ["namespace", NAMESPACE],
    global("cycler(*args)", ({ rest }) => new Cycler(rest)),
    global("joiner(sep=', ')", ({ values }) => joiner(values[0]!)),
  ];
}

function range(args: List): Range {
  if (args.length < 1 || args.length > 3)
    throw new TemplateError(`range expected 1 to 3 arguments, got ${args.length}`);
  const parts = args.map((value) => {
    indexArgument(value);
    return BigInt(value as bigint | boolean);
  });
  const [start, stop, step] = parts.length === 1 ? [0n, parts[0]!, 1n] : [parts[0]!, parts[1]!, parts[2] ?? 1n];
  if (step === 0n) throw new TemplateError("range() arg 3 must not be zero");
  const result = new Range(start, stop, step);
  if (result.length > MAX_RANGE)
    throw new TemplateError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`);
  return result;
}

/** The entries that dict(…) takes: another dict, or pairs, and named ones. */
function entriesOf({ rest, kwargs, runtime: { meter } }: Bound): Dict {
  if (rest.length > 1) throw new TemplateError(`dict expected at most 1 argument, got ${rest.length}`);
  const [source] = rest;
  const dict = source instanceof Dict ? copyOf(source) : new Dict();
  if (source instanceof Undefined) throw source.fail();
  if (source !== undefined && !(source instanceof Dict)) {
    for (const pair of iterate(source)) {
      const items = listOf(pair, meter);
      if (items.length !== 2) throw new TemplateError("dictionary update sequence element has another length than 2");
      dict.set(items[0]!, items[1]!);
    }
  }
  meter.step(dict.size + kwargs.size);
  for (const [name, value] of kwargs) dict.set(name, value);
  return dict;
}

class DictFunction extends WithAttributes {
  override readonly typeName = "TemplateDict";
  readonly #fromKeys = global("fromkeys(keys, value=None)", ({ values, runtime: { meter } }) => {
    return Dict.of(listOf(values[0]!, meter).map((key) => [key, values[1]!] as const));
  })[1];

  attribute(name: string): Value | undefined {
    return name === "fromkeys" ? this.#fromKeys : undefined;
  }
}

const bindDict = native("dict(*args, **kwargs)");
const DICT = new DictFunction("dict", (args, kwargs, runtime) => entriesOf(bindDict.bind(args, kwargs, runtime)));

const NAMESPACE = new Callable("namespace", (args, kwargs, runtime) => {
  const namespace = new Namespace();
  for (const [name, value] of entriesOf(bindDict.bind(args, kwargs, runtime)).entries()) {
    if (typeof name !== "string") throw new TemplateError(`a namespace's attribute is a ${typeName(name)}`);
    if (name.startsWith("_")) {
      throw new TemplateError(
        `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'`,
      );
    }
    namespace.attributes.set(name, value);
  }
  return namespace;
});

class Cycler extends WithAttributes {
  override readonly typeName = "Cycler";
  readonly #items: List;
  #at = 0;

  constructor(items: List) {
    super("cycler", () => {
      throw new TemplateError("'Cycler' object is not callable");
    });
    if (items.length === 0) throw new TemplateError("at least one item has to be provided");
    this.#items = items;
  }

  attribute(name: string): Value | undefined {
    if (name === "current") return this.#items[this.#at]!;
    if (name === "next") {
      return new Callable("next", () => {
        const item = this.#items[this.#at]!;
        this.#at = (this.#at + 1) % this.#items.length;
        return item;
      });
    }
    if (name !== "reset") return undefined;
    return new Callable("reset", () => {
      this.#at = 0;
      return null;
    });
  }
}

function joiner(separator: Value): Callable {
  let used = false;
  return new Callable("joiner", () => {
    if (used) return separator;
    used = true;
    return "";
  });
}

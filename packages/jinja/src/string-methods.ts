/** Methods of str. */
import { boundsOf, indexArgument, optionalText, textArgument } from "./arguments.js";
import { TemplateError } from "./errors.js";
import { formatText } from "./format-spec.js";
import { native, type Bound, type Method } from "./native.js";
import { listOf } from "./operations.js";
import {
  capitalize,
  indexOfUnit,
  KINDS,
  lengthOf,
  LINE_END,
  splitAtSpaces,
  splitAtSpacesFromRight,
  strip,
  swapCase,
  title,
  unitOf,
} from "./python-text.js";
import { Dict, Tuple, truthy, typeName, type Value } from "./values.js";

type Run = (self: string, bound: Bound) => Value;

const METHODS: Record<string, Run> = {
  "strip(chars=None, /)": stripped(true, true),
  "lstrip(chars=None, /)": stripped(true, false),
  "rstrip(chars=None, /)": stripped(false, true),
  "upper(/)": (self) => self.toUpperCase(),
  "lower(/)": (self) => self.toLowerCase(),
  "casefold(/)": (self) => self.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ"),
  "capitalize(/)": capitalize,
  "title(/)": title,
  "swapcase(/)": swapCase,
  "split(sep=None, maxsplit=-1)": (self, bound) => split(self, bound, false),
  "rsplit(sep=None, maxsplit=-1)": (self, bound) => split(self, bound, true),
  "splitlines(keepends=False)": (self, { values, runtime: { meter } }) => splitLines(self, truthy(values[0]!), meter),
  "partition(sep, /)": (self, { values }) => partition(self, textArgument(values[0]!, "sep"), false),
  "rpartition(sep, /)": (self, { values }) => partition(self, textArgument(values[0]!, "sep"), true),
  "replace(old, new, count=-1)": (self, { values, runtime: { meter } }) => {
    const [old, new_] = [textArgument(values[0]!, "old"), textArgument(values[1]!, "new")];
    return replace(self, old, new_, indexArgument(values[2]!), meter);
  },
  "startswith(prefix, start=None, end=None, /)": (self, bound) => affix(self, bound, "startswith"),
  "endswith(suffix, start=None, end=None, /)": (self, bound) => affix(self, bound, "endswith"),
  "removeprefix(prefix, /)": (self, { values }) => {
    const prefix = textArgument(values[0]!, "prefix");
    return self.startsWith(prefix) ? self.slice(prefix.length) : self;
  },
  "removesuffix(suffix, /)": (self, { values }) => {
    const suffix = textArgument(values[0]!, "suffix");
    return suffix && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self;
  },
  "find(sub, start=None, end=None, /)": (self, bound) => BigInt(find(self, bound, false)),
  "rfind(sub, start=None, end=None, /)": (self, bound) => BigInt(find(self, bound, true)),
  "index(sub, start=None, end=None, /)": (self, bound) => found(find(self, bound, false)),
  "rindex(sub, start=None, end=None, /)": (self, bound) => found(find(self, bound, true)),
  "count(sub, start=None, end=None, /)": (self, bound) => count(self, bound),
  "join(iterable, /)": (self, { values, runtime: { meter } }) => {
    const items = listOf(values[0]!, meter).map((item, index) => textArgument(item, `sequence item ${index}:`));
    meter.text(items.reduce((sum, item) => sum + item.length + self.length, 0));
    return items.join(self);
  },
  "format(*args, **kwargs)": (self, { rest, kwargs, runtime }) => formatText(self, rest, kwargs, runtime),
  "format_map(mapping, /)": (self, { values, runtime }) => {
    if (!(values[0] instanceof Dict)) throw new TemplateError("format_map() needs a dict");
    const named = new Map(Array.from(values[0].entries(), ([key, item]) => [String(key as string), item]));
    return formatText(self, [], named, runtime);
  },
  "center(width, fillchar=' ', /)": justified((missing, width) => (missing >> 1) + (missing & width & 1)),
  "ljust(width, fillchar=' ', /)": justified(() => 0),
  "rjust(width, fillchar=' ', /)": justified((missing) => missing),
  "zfill(width, /)": (self, { values, runtime: { meter } }) => {
    const missing = Math.max(0, indexArgument(values[0]!) - lengthOf(self));
    meter.text(self.length + missing);
    const sign = /^[+-]/.exec(self)?.[0] ?? "";
    return sign + "0".repeat(missing) + self.slice(sign.length);
  },
  "expandtabs(tabsize=8)": (self, { values, runtime: { meter } }) => {
    const size = indexArgument(values[0]!);
    meter.text(self.length + Math.max(0, size) * (self.split("\t").length - 1));
    let column = 0;
    return Array.from(self, (character) => {
      if (character === "\t") {
        const spaces = size > 0 ? size - (column % size) : 0;
        column += spaces;
        return " ".repeat(spaces);
      }
      column = character === "\n" || character === "\r" ? 0 : column + 1;
      return character;
    }).join("");
  },
  ...Object.fromEntries(Object.entries(KINDS).map(([name, is]): [string, Run] => [`${name}(/)`, (self) => is(self)])),
};

export const STRING_METHODS: ReadonlyMap<string, Method> = new Map(
  Object.entries(METHODS).map(([signature, run]) => {
    const bound = native(signature);
    const counted: Run = (self, given) => {
      given.runtime.meter.read(self.length);
      const result = run(self, given);
      if (typeof result === "string") given.runtime.meter.text(result.length);
      return result;
    };
    return [bound.name, { ...bound, run: counted } as unknown as Method];
  }),
);

type Meter = Bound["runtime"]["meter"];

function stripped(left: boolean, right: boolean): Run {
  return (self, { values }) => strip(self, optionalText(values[0]!, "strip arg"), left, right);
}

function split(self: string, { values, runtime: { meter } }: Bound, fromRight: boolean): Value {
  const separator = optionalText(values[0]!, "sep");
  const limit = indexArgument(values[1]!);
  let parts: string[];
  if (separator === undefined) parts = fromRight ? splitAtSpacesFromRight(self, limit) : splitAtSpaces(self, limit);
  else if (separator === "") throw new TemplateError("empty separator");
  else {
    parts = self.split(separator);
    if (limit >= 0 && parts.length > limit + 1) {
      const keep = parts.length - limit;
      const rest = fromRight ? parts.slice(0, keep) : parts.slice(limit);
      parts = fromRight
        ? [rest.join(separator), ...parts.slice(keep)]
        : [...parts.slice(0, limit), rest.join(separator)];
    }
    // Separators that overlap are met from the right.
    if (fromRight && limit >= 0) parts = splitFromRight(self, separator, limit);
  }
  meter.step(parts.length);
  return parts;
}

function splitFromRight(text: string, separator: string, limit: number): string[] {
  const parts: string[] = [];
  let end = text.length;
  while (parts.length < limit) {
    const at = end < separator.length ? -1 : text.lastIndexOf(separator, end - separator.length);
    if (at < 0) break;
    parts.push(text.slice(at + separator.length, end));
    end = at;
  }
  return [...parts, text.slice(0, end)].reverse();
}

function splitLines(text: string, keepEnds: boolean, meter: Meter): Value {
  const lines: string[] = [];
  let start = 0;
  for (const { 0: end, index } of text.matchAll(LINE_END)) {
    meter.step();
    lines.push(text.slice(start, keepEnds ? index + end.length : index));
    start = index + end.length;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

function partition(self: string, separator: string, fromRight: boolean): Tuple {
  if (separator === "") throw new TemplateError("empty separator");
  const at = fromRight ? self.lastIndexOf(separator) : self.indexOf(separator);
  if (at < 0) return new Tuple(fromRight ? ["", "", self] : [self, "", ""]);
  return new Tuple([self.slice(0, at), separator, self.slice(at + separator.length)]);
}

/** str.replace. */
export function replace(text: string, old: string, new_: string, limit: number, meter: Meter): string {
  if (limit === 0) return text;
  if (old === "") {
    const characters = [...text];
    const places = limit < 0 ? characters.length + 1 : Math.min(limit, characters.length + 1);
    meter.text(text.length + places * new_.length);
    return (
      characters.map((character, at) => (at < places ? new_ + character : character)).join("") +
      (places > characters.length ? new_ : "")
    );
  }
  const parts = text.split(old);
  const replaced = limit < 0 ? parts.length - 1 : Math.min(limit, parts.length - 1);
  meter.step(parts.length);
  meter.text(text.length + replaced * new_.length);
  const rest = parts.slice(replaced).join(old);
  return [...parts.slice(0, replaced), rest].join(new_);
}

/** The part of a text between two places in code points, and where it begins in code units. */
function within(self: string, start: Value, end: Value): { part: string; from: number; empty: boolean } {
  if (start === null && end === null) return { part: self, from: 0, empty: false };
  const length = lengthOf(self);
  const [first, last] = boundsOf(start, end, length);
  const from = unitOf(self, first);
  const beyond = start !== null && indexArgument(start) > length;
  return { part: self.slice(from, unitOf(self, last)), from, empty: first > last || beyond };
}

function affix(self: string, { values }: Bound, which: "startswith" | "endswith"): boolean {
  const { part, empty } = within(self, values[1]!, values[2]!);
  const [wanted] = values;
  const all = wanted instanceof Tuple ? wanted.items : [wanted!];
  return all.some((affix) => {
    if (typeof affix !== "string") {
      throw new TemplateError(`${which} first arg must be str or a tuple of str, not ${typeName(affix)}`);
    }
    return !empty && (which === "startswith" ? part.startsWith(affix) : part.endsWith(affix));
  });
}

function find(self: string, { values }: Bound, last: boolean): number {
  const wanted = textArgument(values[0]!, "argument");
  const { part, from, empty } = within(self, values[1]!, values[2]!);
  if (empty) return -1;
  const at = last ? part.lastIndexOf(wanted) : part.indexOf(wanted);
  return at < 0 ? -1 : indexOfUnit(self, from + at);
}

function found(index: number): bigint {
  if (index < 0) throw new TemplateError("substring not found");
  return BigInt(index);
}

function count(self: string, { values }: Bound): bigint {
  const wanted = textArgument(values[0]!, "argument");
  const { part, empty } = within(self, values[1]!, values[2]!);
  if (empty) return 0n;
  return BigInt(wanted === "" ? lengthOf(part) + 1 : part.split(wanted).length - 1);
}

function justified(before: (missing: number, width: number) => number): Run {
  return (self, { values, runtime: { meter } }) => {
    const width = indexArgument(values[0]!);
    const fill = textArgument(values[1]!, "fillchar");
    if (lengthOf(fill) !== 1) throw new TemplateError("The fill character must be exactly one character long");
    const missing = Math.max(0, width - lengthOf(self));
    meter.text(self.length + missing * fill.length);
    const left = before(missing, width);
    return fill.repeat(left) + self + fill.repeat(missing - left);
  };
}

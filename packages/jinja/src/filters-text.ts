/** Filters of texts. */
import { indexArgument, optionalText, textArgument } from "./arguments.js";
import { TemplateError } from "./errors.js";
import { filtersOf } from "./filter-definitions.js";
import type { Bound } from "./native.js";
import { formatPercent } from "./percent-format.js";
import { str } from "./printing.js";
import { capitalize, lengthOf, LINE_END, strip, unitOf, WHITESPACE } from "./python-text.js";
import { replace, STRING_METHODS } from "./string-methods.js";
import { Dict, truthy, Tuple, typeName, Undefined, type Value } from "./values.js";
import { wrap } from "./word-wrap.js";

type Run = (text: string, bound: Bound) => Value;

/** The value as a text first. */
function soft(run: Run): (input: Value, bound: Bound) => Value {
  return (input, bound) => {
    const text = str(input, bound.runtime.meter);
    bound.runtime.meter.text(text.length);
    return run(text, bound);
  };
}

function onText(run: Run): (input: Value, bound: Bound) => Value {
  return (input, bound) => {
    const text = textArgument(input, "value");
    bound.runtime.meter.text(text.length);
    return run(text, bound);
  };
}

export const textFilters = filtersOf({
  "upper()": soft((text) => text.toUpperCase()),
  "lower()": soft((text) => text.toLowerCase()),
  "capitalize()": soft(capitalize),
  "title()": soft((text) =>
    text
      .split(WORD_START)
      .map((part) => {
        const [first = ""] = part;
        return first.toUpperCase() + part.slice(first.length).toLowerCase();
      })
      .join(""),
  ),
  "trim(chars=None)": soft((text, { values }) => strip(text, optionalText(values[0]!, "strip arg"), true, true)),
  "replace(old, new, count=None)": soft((text, { values, runtime: { meter } }) => {
    const [old, new_] = [str(values[0]!, meter), str(values[1]!, meter)];
    return replace(text, old, new_, values[2] === null ? -1 : indexArgument(values[2]!), meter);
  }),
  "center(width=80)": soft((text, { values, runtime }) => {
    const method = STRING_METHODS.get("center")!;
    return method.run(text as never, method.bind([values[0]!], new Map(), runtime));
  }),
  "escape, e, forceescape()": soft(escapeHtml),
  "safe()": (input, { runtime: { meter } }) => str(input, meter),
  "striptags()": soft(stripTags),
  "wordcount()": soft((text) => BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
  "urlencode()": (input, { runtime: { meter } }) => urlEncode(input, (text) => meter.made(text)),
  "format(*args, **kwargs)": soft((text, { rest, kwargs, runtime: { meter } }) => {
    if (rest.length > 0 && kwargs.size > 0) {
      throw new TemplateError("can't handle positional and keyword arguments at the same time");
    }
    return formatPercent(text, kwargs.size > 0 ? Dict.of(kwargs) : new Tuple(rest), meter);
  }),
  "indent(width=4, first=False, blank=False)": onText((text, { values, runtime: { meter } }) => {
    const [width, first, blank] = values as [Value, Value, Value];
    const by = typeof width === "string" ? width : spaces(indexArgument(width));
    const lines = splitLines(`${text}\n`);
    meter.text(text.length + lines.length * by.length);
    const indented = lines.map((line, index) => (index > 0 && (line !== "" || truthy(blank)) ? by + line : line));
    return (truthy(first) ? by : "") + indented.join("\n");
  }),
  "truncate(length=255, killwords=False, end='...', leeway=None)": onText((text, { values }) => {
    const [length, end] = [indexArgument(values[0]!), textArgument(values[2]!, "end")];
    const leeway = values[3] === null ? 5 : indexArgument(values[3]!);
    if (length < lengthOf(end) || leeway < 0)
      throw new TemplateError(`expected length >= ${lengthOf(end)}, got ${length}`);
    if (lengthOf(text) <= length + leeway) return text;
    const cut = text.slice(0, unitOf(text, length - lengthOf(end)));
    const lastSpace = cut.lastIndexOf(" ");
    return (truthy(values[1]!) || lastSpace < 0 ? cut : cut.slice(0, lastSpace)) + end;
  }),
  "wordwrap(width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True)": onText((text, { values }) => {
    const [width, breakLongWords, wrapString, breakOnHyphens] = values as [Value, Value, Value, Value];
    const newline = optionalText(wrapString, "wrapstring") ?? "\n";
    const options = { breakLongWords: truthy(breakLongWords), breakOnHyphens: truthy(breakOnHyphens) };
    return splitLines(text)
      .map((line) => wrap(line, indexArgument(width), options).join(newline))
      .join(newline);
  }),
  "xmlattr(autospace=True)": (input, { values, runtime: { meter } }) => {
    if (!(input instanceof Dict)) throw new TemplateError(`'${typeName(input)}' object has no attribute 'items'`);
    const items: string[] = [];
    for (const [key, value] of input.entries()) {
      if (value === null || value instanceof Undefined) continue;
      const name = textArgument(key, "attribute name");
      if (/[ \t\n\r\f\v/>=]/.test(name)) throw new TemplateError(`Invalid character in attribute name: '${name}'`);
      items.push(`${escapeHtml(name)}="${escapeHtml(str(value, meter))}"`);
    }
    return meter.made((truthy(values[0]!) && items.length > 0 ? " " : "") + items.join(" "));
  },
});

const WORD_START = new RegExp(`([-({\\[<${WHITESPACE}]+)`);
const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

function stripTags(text: string): string {
  let rest = text;
  for (const [open, close] of [
    ["<!--", "-->"],
    ["<", ">"],
  ] as const) {
    const parts: string[] = [];
    let at = 0;
    for (;;) {
      const start = rest.indexOf(open, at);
      const end = start < 0 ? -1 : rest.indexOf(close, start);
      if (end < 0) break;
      parts.push(rest.slice(at, start));
      at = end + close.length;
    }
    rest = parts.join("") + rest.slice(at);
  }
  return rest
    .split(new RegExp(`[${WHITESPACE}]+`))
    .filter((part) => part !== "")
    .join(" ")
    .replace(/&(amp|lt|gt|quot|#34|#39|#x27|apos);/g, (whole, name: string) => {
      return { amp: "&", lt: "<", gt: ">", quot: '"', "#34": '"', "#39": "'", "#x27": "'", apos: "'" }[name] ?? whole;
    });
}

function splitLines(text: string): string[] {
  const lines = text.split(LINE_END);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function spaces(width: number): string {
  if (width > 10_000) throw new TemplateError("an indent of more than 10,000");
  return " ".repeat(Math.max(0, width));
}

function urlEncode(input: Value, made: (text: string) => string): string {
  const quote = (value: Value, forQuery: boolean) => {
    const text = made(str(value, { made: (part: string) => part, step() {} } as never));
    const quoted = encodeURIComponent(text.replace(/\p{Surrogate}/gu, "?")).replace(/[!'()*]/g, (character) => {
      return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
    });
    return made(forQuery ? quoted.replaceAll("%20", "+") : quoted.replaceAll("%2F", "/"));
  };
  if (input instanceof Dict) {
    return Array.from(input.entries(), ([key, value]) => `${quote(key, true)}=${quote(value, true)}`).join("&");
  }
  if (!Array.isArray(input) && !(input instanceof Tuple)) return quote(input, false);
  const items = Array.isArray(input) ? input : input.items;
  return items
    .map((item) => {
      const pair = item instanceof Tuple ? item.items : Array.isArray(item) ? item : [];
      if (pair.length !== 2) throw new TemplateError("urlencode needs pairs of a key and a value");
      return `${quote(pair[0]!, true)}=${quote(pair[1]!, true)}`;
    })
    .join("&");
}

import { compileTemplate } from "./compile.js";
import { TemplateError, TemplateLimitError } from "./errors.js";
import { globals } from "./globals.js";
import { DEFAULT_LIMITS, Meter, type Limits } from "./limits.js";
import { parseTemplate } from "./parser.js";
import { GENERATION_END, GENERATION_START, Rendition, type Piece, type Span } from "./runtime.js";
import { Dict, fromJson, type Value } from "./values.js";

export interface RenderOptions {
  /** Objects among the variables whose parts of the text are wanted. */
  items?: readonly object[];
  limits?: Limits;
  /** What strftime_now prints, in local time. */
  now: Date;
}

/** Offsets are UTF-16 code units. */
export interface Rendering {
  text: string;
  /** What {% generation %} blocks wrote. */
  generations: Span[];
  /** What loops over `items` wrote for each, in the text's order. */
  pieces: Piece[];
  /** Which of `items` loops came to. */
  met: ReadonlySet<number>;
}

/**
 * A chat template as transformers reads it: Jinja2's ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, the
 * loopcontrols extension, {% generation %}, and json.dumps as tojson. It reaches nothing but its variables, and costs no
 * more than limits.ts says.
 */
export class Template {
  readonly #run: (runtime: Rendition) => void;
  /** It has {% generation %} blocks. */
  readonly hasGenerations: boolean;

  /** Errors: TemplateSyntaxError, TemplateLimitError. */
  constructor(source: string) {
    this.hasGenerations = /\{%[-+]?\s*generation\s*[-+]?%\}/.test(source);
    this.#run = within(() => compileTemplate(parseTemplate(source)));
  }

  /** Variables are JSON's values; numbers that are whole are int. Errors: TemplateError, TemplateLimitError. */
  render(
    variables: Readonly<Record<string, unknown>>,
    { items = [], limits = DEFAULT_LIMITS, now }: RenderOptions,
  ): Rendering {
    const tags = new Map(items.map((item, index) => [item, index]));
    const given = Object.entries(variables).map(([name, value]): [string, Value] => [name, converted(value, tags)]);
    const runtime = new Rendition(new Meter(limits), new Map<string, Value>([...globals(now), ...given]));
    within(() => this.#run(runtime), runtime);
    runtime.tracker.finish();
    return unmarked(runtime);
  }
}

/** Errors of JavaScript's own limits as those of templates, with the line that was carried out. */
function within<T>(work: () => T, runtime?: Rendition): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError)
      throw new TemplateLimitError("is nested too deep or makes a text too long", runtime?.line);
    if (error instanceof TemplateError) error.line ??= runtime?.line;
    throw error;
  }
}

function converted(value: unknown, tags: ReadonlyMap<object, number>): Value {
  if (tags.size === 0 || typeof value !== "object" || value === null) return fromJson(value);
  if (Array.isArray(value)) return value.map((item) => converted(item, tags));
  const result = fromJson(value);
  if (result instanceof Dict) result.tag = tags.get(value);
  return result;
}

/** Takes the marks of {% generation %} blocks out of the text, and moves what was found before to its place without them. */
function unmarked({ root: { text }, usesMarks, generations, tracker: { pieces, met } }: Rendition): Rendering {
  if (!usesMarks) return { text, generations, pieces, met };
  const marks: number[] = [];
  const found: Span[] = [];
  const open: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const unit = text[at];
    if (unit !== GENERATION_START && unit !== GENERATION_END) continue;
    const place = at - marks.length;
    marks.push(at);
    if (unit === GENERATION_START) open.push(place);
    else if (open.length > 0) found.push({ start: open.pop()!, end: place });
  }
  const moved = (place: number) => {
    let before = 0;
    for (let [low, high] = [0, marks.length]; low < high;) {
      const middle = (low + high) >> 1;
      if (marks[middle]! < place) low = before = middle + 1;
      else high = middle;
    }
    return place - before;
  };
  const move = <S extends Span>(span: S): S => ({ ...span, start: moved(span.start), end: moved(span.end) });
  const spans = [...generations.map(move), ...found].sort((one, other) => one.start - other.start);
  return { text: text.replace(/[\ufdd0\ufdd1]/g, ""), generations: spans, pieces: pieces.map(move), met };
}

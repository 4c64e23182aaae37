/**
 * Regular expressions that choose modules, as PEFT applies Python's `re.fullmatch` to their names.
 * Patterns come from strangers, and JavaScript's own engine may take exponential time on some. Here the
 * ends of all matches are computed per node and position, each once: polynomial, whatever the pattern.
 * What that cannot express (lookaround, back-references) is refused by name.
 */
import { GradpoolError } from "@gradpool/errors";
import { parsePattern, type PatternNode } from "./module-pattern-syntax.js";

/** Characters that make a name a regular expression; dots are in every name. */
const REGEX_CHARACTERS = /[\\^$*+?()[\]{}|]/;

/** Whether target_modules means a regular expression: PEFT's single string, not a list of names. */
export function isModulePattern(patterns: readonly string[]): patterns is readonly [string] {
  return patterns.length === 1 && REGEX_CHARACTERS.test(patterns[0] as string);
}

/**
 * Whether names match the pattern as a whole. Errors: `invalid_argument` naming `field` for what is no
 * regular expression, `unimplemented` for what is not supported.
 */
export function modulePattern(source: string, field: string): (name: string) => boolean {
  if (source.length > MAX_PATTERN_LENGTH) {
    const message = `${field}: a pattern of ${source.length} characters is too long; use at most ${MAX_PATTERN_LENGTH}`;
    throw new GradpoolError("invalid_argument", message);
  }
  const node = parsePattern(source, field);
  return (name) => new Match(name).ends(node, 0).has(name.length);
}

const MAX_PATTERN_LENGTH = 500;

/** Where matches may end, by node and start. */
class Match {
  readonly #known = new Map<PatternNode, Map<number, Set<number>>>();

  constructor(private readonly text: string) {}

  ends(node: PatternNode, start: number): Set<number> {
    const ofNode = this.#known.get(node) ?? new Map<number, Set<number>>();
    this.#known.set(node, ofNode);
    const ends = ofNode.get(start) ?? this.#compute(node, start);
    ofNode.set(start, ends);
    return ends;
  }

  #compute(node: PatternNode, start: number): Set<number> {
    switch (node.kind) {
      case "character":
        return new Set(start < this.text.length && node.accepts(this.text.charAt(start)) ? [start + 1] : []);
      case "start":
        return new Set(start === 0 ? [0] : []);
      case "end":
        return new Set(start === this.text.length ? [start] : []);
      case "sequence":
        return node.parts.reduce((starts, part) => this.#fromAll(part, starts), new Set([start]));
      case "choice":
        return new Set(node.options.flatMap((option) => [...this.ends(option, start)]));
      case "repeat":
        return this.#repeated(node, start);
    }
  }

  #fromAll(node: PatternNode, starts: ReadonlySet<number>): Set<number> {
    return new Set([...starts].flatMap((start) => [...this.ends(node, start)]));
  }

  /** Stops when one more repetition changes nothing, at the latest after as many as there are positions. */
  #repeated({ of, least, most }: Extract<PatternNode, { kind: "repeat" }>, start: number): Set<number> {
    const found = new Set<number>();
    let current = new Set([start]);
    for (let count = 0; current.size > 0; count++) {
      if (count >= least) for (const end of current) found.add(end);
      if (count >= most) break;
      const next = this.#fromAll(of, current);
      if (next.size === current.size && [...next].every((end) => current.has(end))) {
        for (const end of next) found.add(end);
        break;
      }
      current = next;
    }
    return found;
  }
}

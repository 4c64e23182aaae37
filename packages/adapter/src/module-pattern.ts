/**
 * Regular expressions that choose modules, as PEFT applies Python's `re.fullmatch` to their names.
 * Patterns are untrusted input, and JavaScript's own engine may take exponential time on some. Here all
 * ways through the pattern are followed at once (Thompson 1968): states times characters, whatever the
 * pattern. What that cannot express (lookaround, back-references) is refused by name.
 */
import { GradpoolError } from "@gradpool/errors";
import { parsePattern, type PatternNode } from "./module-pattern-syntax.js";

/** Characters that make a name a regular expression; dots are in every name. */
const REGEX_CHARACTERS = /[\\^$*+?()[\]{}|]/;

/** Whether a pattern is more than a name, whose dots match any character as in every expression. */
export const isExpression = (pattern: string) => REGEX_CHARACTERS.test(pattern);

/** Whether target_modules means a regular expression: PEFT's single string, not a list of names. */
export function isModulePattern(patterns: readonly string[]): patterns is readonly [string] {
  return patterns.length === 1 && isExpression(patterns[0] as string);
}

/** Characters of a pattern, and states that its repetitions may unfold to. */
export const MAX_PATTERN_LENGTH = 500;
const MAX_STATES = 2000;

/**
 * Whether names match the pattern as a whole. Errors: `invalid_argument` naming `field` for what is not a
 * regular expression or too large, `unimplemented` for what is not supported.
 */
export function modulePattern(source: string, field: string): (name: string) => boolean {
  if (source.length > MAX_PATTERN_LENGTH) throw tooLarge(field, `${source.length} characters`, MAX_PATTERN_LENGTH);
  const states: State[] = [{ kind: "match" }];
  const first = addStates(parsePattern(source, field), 0, (state) => {
    if (states.length >= MAX_STATES) throw tooLarge(field, "repetitions of repetitions", MAX_STATES);
    return states.push(state) - 1;
  });
  return (name) => matchesWhole(states, first, name);
}

function tooLarge(field: string, what: string, most: number): GradpoolError {
  return new GradpoolError("invalid_argument", `${field}: a pattern of ${what} is too large; keep it below ${most}`);
}

/** One state of the automaton; `next` and `other` are indices of states. */
type State =
  | { kind: "match" }
  | { kind: "character"; accepts: (character: string) => boolean; next: number }
  | { kind: "start" | "end"; next: number }
  | { kind: "split"; next: number; other: number };

/** Adds the states of a node that continues to state `next`, and gives the first of them. */
function addStates(node: PatternNode, next: number, add: (state: State) => number): number {
  switch (node.kind) {
    case "character":
      return add({ kind: "character", accepts: node.accepts, next });
    case "start":
    case "end":
      return add({ kind: node.kind, next });
    case "sequence":
      return node.parts.reduceRight((after, part) => addStates(part, after, add), next);
    case "choice":
      return node.options
        .map((option) => addStates(option, next, add))
        .reduce((other, one) => add({ kind: "split", next: one, other }));
    case "repeat": {
      let after = node.most === Infinity ? addLoop(node.of, next, add) : next;
      const optional = node.most === Infinity ? 0 : node.most - node.least;
      for (let i = 0; i < optional; i++) {
        after = add({ kind: "split", next: addStates(node.of, after, add), other: next });
      }
      for (let i = 0; i < node.least; i++) after = addStates(node.of, after, add);
      return after;
    }
  }
}

/** Any number of times: a state that continues, or through the node and back. */
function addLoop(node: PatternNode, next: number, add: (state: State) => number): number {
  const loop: State = { kind: "split", next, other: next };
  const index = add(loop);
  loop.next = addStates(node, index, add);
  return index;
}

function matchesWhole(states: readonly State[], first: number, name: string): boolean {
  let current = new Set<number>();
  enter(states, first, current, name, 0);
  for (let at = 0; at < name.length && current.size > 0; at++) {
    const after = new Set<number>();
    for (const index of current) {
      const state = states[index] as State;
      if (state.kind === "character" && state.accepts(name.charAt(at))) enter(states, state.next, after, name, at + 1);
    }
    current = after;
  }
  return current.has(0);
}

/** Adds a state, and those that follow without a character. */
function enter(states: readonly State[], first: number, into: Set<number>, name: string, at: number): void {
  const waiting = [first];
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    if (into.has(index)) continue;
    into.add(index);
    const state = states[index] as State;
    if (state.kind === "split") waiting.push(state.next, state.other);
    else if (state.kind === "start" && at === 0) waiting.push(state.next);
    else if (state.kind === "end" && at === name.length) waiting.push(state.next);
  }
}

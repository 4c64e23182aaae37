/** Checks of a pattern before it is used on untrusted text. */
import { type CodePoints, complement, isSubset, overlap, unicodeClass } from "./code-points.js";
import { type Pattern, type PatternItem, unsupported } from "./pattern.js";

const SPACE: CodePoints = [0x20, 0x20];

/** Characters that bounded repetitions may take together, one inside of another. */
const MAX_LENGTH = 1_000;

/** Ways in which a backtracking engine may try a pattern at one place; patterns in use have at most 32. */
const MAX_WAYS = 1_000;

/**
 * Refuses patterns that match nothing at all somewhere, or that could take more than linear time: on a
 * backtracking engine one long line would hang. Errors: `failed_precondition`.
 */
export function requireBounded(pattern: Pattern, source: string): void {
  if (lengthOf(pattern) > MAX_LENGTH) throw unsupported(source, "repetitions of repetitions that are too long");
  if (waysOf(pattern) > MAX_WAYS) throw unsupported(source, "repetitions that can match in too many ways");
  for (const [index, items] of pattern.entries()) {
    if (items.every(isOptional)) throw unsupported(source, "an alternative that can match nothing");
    for (const { node, max } of items) {
      if (node.kind === "group" && !isShort(node.branches, max)) {
        throw unsupported(source, "a repetition inside of a group");
      }
    }
    const unbounded = items.flatMap((item, at) =>
      item.max === Infinity && item.node.kind === "set" ? [{ at, set: item.node.set }] : [],
    );
    for (const { at, set } of unbounded) {
      const after = items.slice(at + 1);
      if (after.every(isOptional) || givesBackOne(set, after)) continue;
      // What this alternative scanned in vain, a later one must match whole; else each next start scans it again.
      const taken = pattern.slice(index + 1).some((later) => takesRun(later, set));
      const ambiguous = unbounded.some(
        (other) => other.at > at && overlap(other.set, set) && !items.slice(other.at + 1).every(isOptional),
      );
      if (!taken || ambiguous) throw unsupported(source, "repetitions that can take quadratic time");
    }
  }
}

/**
 * Whether a space after a character that is not whitespace always begins a new piece, and what is
 * before it is split the same whatever follows. Text can then be cut there.
 */
export function neverCrossesSpace(pattern: Pattern): boolean {
  const known: Walked = new Map();
  return pattern.every((items) => walk(items, false, known) !== undefined);
}

/** Whether every space is part of a match, so that no gap between matches runs across one. */
export function alwaysMatchesSpace(pattern: Pattern): boolean {
  return pattern.some(([first, ...rest]) => {
    return first?.node.kind === "set" && overlap(first.node.set, SPACE) && first.min === 1 && rest.every(isOptional);
  });
}

/** Characters of the longest match, each unbounded repetition counted as one. */
function lengthOf(pattern: Pattern): number {
  const lengths = pattern.map((items) =>
    items.reduce((sum, { node, max }) => {
      const repeats = max === Infinity ? 1 : max;
      if (node.kind === "look") return sum;
      return sum + repeats * (node.kind === "set" ? 1 : lengthOf(node.branches));
    }, 0),
  );
  return lengths.reduce((longest, length) => Math.max(longest, length), 0);
}

/** In how many ways the pattern may match at one place, each unbounded repetition counted once: they are checked apart. */
function waysOf(pattern: Pattern): number {
  return pattern.reduce((sum, items) => sum + items.reduce((product, item) => product * waysOfItem(item), 1), 0);
}

function waysOfItem({ node, min, max }: PatternItem): number {
  if (node.kind === "look") return 1;
  const each = node.kind === "group" ? waysOf(node.branches) : 1;
  if (max === Infinity) return each;
  // Σ each^k for k from min to max, of which more than the bound are not counted.
  let [ways, power] = [0, each ** min];
  for (let repeats = min; repeats <= max && ways <= MAX_WAYS; repeats++, power *= each) ways += power;
  return ways;
}

/** Outcomes of `walk` by its items and `before`: each group is walked twice at each level that it is nested in. */
type Walked = Map<PatternItem[], Map<boolean, boolean | undefined>>;

/** Whether a character other than whitespace may have been taken, given so before; undefined when a space may follow one. */
function walk(items: PatternItem[], before: boolean, known: Walked): boolean | undefined {
  const outcomes = known.get(items) ?? new Map<boolean, boolean | undefined>();
  known.set(items, outcomes);
  if (!outcomes.has(before)) outcomes.set(before, walkItems(items, before, known));
  return outcomes.get(before);
}

function walkItems(items: PatternItem[], before: boolean, known: Walked): boolean | undefined {
  let taken = before;
  for (const { node, max } of items) {
    for (let repeat = 0; repeat < Math.min(max, 2); repeat++) {
      if (node.kind !== "group") {
        if (taken && overlap(node.set, SPACE)) return undefined;
        if (node.kind === "set") taken ||= !isSubset(node.set, unicodeClass("space"));
        continue;
      }
      const outcomes = node.branches.map((branch) => walk(branch, taken, known));
      if (outcomes.includes(undefined)) return undefined;
      taken ||= outcomes.includes(true);
    }
  }
  return taken;
}

function isOptional({ node, min }: PatternItem): boolean {
  if (min === 0) return true;
  if (node.kind === "group") return node.branches.some((branch) => branch.every(isOptional));
  return false;
}

/** Whether the group is used a few times only, and holds no unbounded repetition. */
function isShort(branches: Pattern, max: number): boolean {
  if (max > 8) return false;
  return branches.every((branch) =>
    branch.every((item) => (item.node.kind === "group" ? isShort(item.node.branches, item.max) : item.max <= 8)),
  );
}

/** Whether what follows a run of `set` holds as soon as the run gives its last character back, as in \s+(?!\S). */
function givesBackOne(set: CodePoints, after: PatternItem[]): boolean {
  const [next] = after;
  if (after.length !== 1 || next?.node.kind !== "look") return false;
  return next.node.negative ? !overlap(next.node.set, set) : isSubset(set, next.node.set);
}

/** Whether the alternative always takes a whole run of characters of `set`, whatever follows. */
function takesRun(items: PatternItem[], set: CodePoints): boolean {
  const required = items.filter((item) => !isOptional(item));
  const [only] = required;
  return (
    required.length === 1 &&
    only?.node.kind === "set" &&
    only.min === 1 &&
    only.max === Infinity &&
    !overlap(set, complement(only.node.set))
  );
}

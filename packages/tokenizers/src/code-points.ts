/** Sets of code points, as sorted, disjoint, inclusive ranges: [low, high, low, high, …]. */
import { UNICODE_DATA } from "./unicode-data.js";

export type CodePoints = readonly number[];

export type UnicodeClass = keyof typeof UNICODE_DATA;

const LAST = 0x10ffff;
const classes = new Map<UnicodeClass, CodePoints>();

/** A class as Hugging Face's tokenizers see it, whatever version of Unicode the runtime knows. */
export function unicodeClass(name: UnicodeClass): CodePoints {
  let ranges = classes.get(name);
  if (!ranges) {
    let position = 0;
    const bounds = UNICODE_DATA[name].split(" ").map((length) => (position += parseInt(length, 36)));
    ranges = bounds.map((bound, i) => (i % 2 === 0 ? bound : bound - 1));
    classes.set(name, ranges);
  }
  return ranges;
}

export function isUnicodeClass(name: string): name is UnicodeClass {
  return Object.hasOwn(UNICODE_DATA, name);
}

export function union(...sets: CodePoints[]): CodePoints {
  const pairs: [number, number][] = [];
  for (const set of sets) for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!]);
  pairs.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of pairs) {
    const last = merged.length - 1;
    if (last > 0 && low <= merged[last]! + 1) merged[last] = Math.max(merged[last]!, high);
    else merged.push(low, high);
  }
  return merged;
}

export function complement(set: CodePoints): CodePoints {
  const inverted: number[] = [];
  let next = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (set[i]! > next) inverted.push(next, set[i]! - 1);
    next = set[i + 1]! + 1;
  }
  if (next <= LAST) inverted.push(next, LAST);
  return inverted;
}

export function overlap(a: CodePoints, b: CodePoints): boolean {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i + 1]! < b[j]!) i += 2;
    else if (b[j + 1]! < a[i]!) j += 2;
    else return true;
  }
  return false;
}

export function isSubset(inner: CodePoints, outer: CodePoints): boolean {
  return !overlap(inner, complement(outer));
}

/**
 * The set as a class of a JavaScript regular expression with the flag `u`. Written short: V8 does not
 * optimize expressions of more than 20 KB.
 */
export function toRegExpClass(set: CodePoints): string {
  let text = "";
  for (let i = 0; i < set.length; i += 2) {
    text += set[i] === set[i + 1] ? inClass(set[i]!) : `${inClass(set[i]!)}-${inClass(set[i + 1]!)}`;
  }
  return `[${text}]`;
}

function inClass(codePoint: number): string {
  const character = String.fromCodePoint(codePoint);
  const isPlain = codePoint < 0x80 ? /[A-Za-z0-9]/.test(character) : codePoint < 0xd800 || codePoint > 0xdfff;
  return isPlain ? character : `\\u{${codePoint.toString(16)}}`;
}

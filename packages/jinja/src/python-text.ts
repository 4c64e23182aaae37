/** Texts as Python's str has them: counted in code points, with Python's ideas of whitespace and of kinds of characters. */

/** What str.isspace, strip and split take for whitespace; JavaScript's \s has U+FEFF and lacks U+001C to U+001F, U+0085. */
export const WHITESPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** Where str.splitlines splits. */
export const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g;

const IS_SPACE = new RegExp(`^[${WHITESPACE}]+$`);
const SPACE = new RegExp(`[${WHITESPACE}]`);
const SURROGATE = /[\ud800-\udfff]/;

export function hasSurrogates(text: string): boolean {
  return SURROGATE.test(text);
}

/** Length in code points. */
export function lengthOf(text: string): number {
  if (!hasSurrogates(text)) return text.length;
  let length = 0;
  for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) length++;
  return length;
}

/** The code unit at which code point `index` begins. */
export function unitOf(text: string, index: number): number {
  if (!hasSurrogates(text)) return Math.min(index, text.length);
  let at = 0;
  for (let left = index; left > 0 && at < text.length; left--) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

/** How many code points there are before a code unit. */
export function indexOfUnit(text: string, unit: number): number {
  return unit < 0 ? -1 : lengthOf(text.slice(0, unit));
}

export function isSpace(character: string): boolean {
  return SPACE.test(character);
}

export function isAllSpace(text: string): boolean {
  return IS_SPACE.test(text);
}

/** str.strip, lstrip and rstrip; `chars` undefined means whitespace. */
export function strip(text: string, chars: string | undefined, left: boolean, right: boolean): string {
  const units = chars === undefined || !hasSurrogates(chars + text);
  const characters = units ? text : [...text];
  const wanted = chars === undefined ? undefined : new Set(chars);
  const goes = (character: string) => (wanted ? wanted.has(character) : isSpace(character));
  let start = 0;
  let end = characters.length;
  while (left && start < end && goes(characters[start]!)) start++;
  while (right && start < end && goes(characters[end - 1]!)) end--;
  return typeof characters === "string" ? characters.slice(start, end) : characters.slice(start, end).join("");
}

/** str.split() without a separator, at most `limit` times (-1: always). */
export function splitAtSpaces(text: string, limit: number): string[] {
  const parts: string[] = [];
  for (let at = 0; ;) {
    while (at < text.length && isSpace(text[at]!)) at++;
    if (at === text.length) return parts;
    if (parts.length === limit) return [...parts, text.slice(at)];
    const start = at;
    while (at < text.length && !isSpace(text[at]!)) at++;
    parts.push(text.slice(start, at));
  }
}

/** str.rsplit() without a separator. */
export function splitAtSpacesFromRight(text: string, limit: number): string[] {
  const parts: string[] = [];
  for (let at = text.length; ;) {
    while (at > 0 && isSpace(text[at - 1]!)) at--;
    if (at === 0) return parts.reverse();
    if (parts.length === limit) return [...parts, text.slice(0, at)].reverse();
    const end = at;
    while (at > 0 && !isSpace(text[at - 1]!)) at--;
    parts.push(text.slice(at, end));
  }
}

/** str.capitalize: the first character as in a title, the others small. */
export function capitalize(text: string): string {
  const [first] = text;
  return first === undefined ? "" : titleCase(first) + text.slice(first.length).toLowerCase();
}

/** str.title: each character after one without case begins a word. */
export function title(text: string): string {
  let inWord = false;
  let result = "";
  for (const character of text) {
    result += inWord ? character.toLowerCase() : titleCase(character);
    inWord = CASED.test(character);
  }
  return result;
}

export function swapCase(text: string): string {
  return Array.from(text, (character) =>
    /\p{Lu}/u.test(character)
      ? character.toLowerCase()
      : /\p{Ll}/u.test(character)
        ? character.toUpperCase()
        : character,
  ).join("");
}

function titleCase(character: string): string {
  const digraph = DIGRAPHS[character.toLowerCase()];
  if (digraph) return digraph;
  const upper = character.toUpperCase();
  const [first] = upper;
  return upper.length > first!.length ? first! + upper.slice(first!.length).toLowerCase() : upper;
}

const DIGRAPHS: Record<string, string> = {
  "\u01c6": "\u01c5",
  "\u01c9": "\u01c8",
  "\u01cc": "\u01cb",
  "\u01f3": "\u01f2",
};
const CASED = /[\p{Lu}\p{Ll}\p{Lt}]/u;

const DIGIT =
  "\\p{Nd}\\xb2\\xb3\\xb9\\u2070\\u2074-\\u2079\\u2080-\\u2089\\u2460-\\u2468\\u2474-\\u247c\\u2488-\\u2490";
const NUMERIC = `${DIGIT}\\p{N}\\u4e00\\u4e8c\\u4e09\\u56db\\u4e94\\u516d\\u4e03\\u516b\\u4e5d\\u5341\\u767e\\u5343\\u4e07`;

/** The methods str.is…() that ask for a kind of every character, and for one character at least. */
export const KINDS: Readonly<Record<string, (text: string) => boolean>> = {
  isalpha: matches("^\\p{L}+$"),
  isdecimal: matches("^\\p{Nd}+$"),
  isdigit: matches(`^[${DIGIT}]+$`),
  isnumeric: matches(`^[${NUMERIC}]+$`),
  isalnum: matches(`^[\\p{L}${NUMERIC}]+$`),
  isspace: isAllSpace,
  isupper: (text) => /\p{Lu}/u.test(text) && !/[\p{Ll}\p{Lt}]/u.test(text),
  islower: (text) => /\p{Ll}/u.test(text) && !/[\p{Lu}\p{Lt}]/u.test(text),
  istitle: (text) => CASED.test(text) && title(text) === text,
  isidentifier: (text) => IDENTIFIER.test(text),
  isprintable: (text) => !NOT_PRINTABLE.test(text),

  isascii: (text) => /^[\0-\x7f]*$/.test(text),
};

export const IDENTIFIER = /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u;
/** What repr() escapes. */
export const NOT_PRINTABLE = /(?! )[\p{C}\p{Z}]/u;

function matches(source: string): (text: string) => boolean {
  const pattern = new RegExp(source, "u");
  return (text) => pattern.test(text);
}

/** Compares by code points, as Python does: UTF-16 has U+E000 to U+FFFF after the surrogates. */
export function compareText(one: string, other: string): number {
  if (one === other) return 0;
  if (hasSurrogates(one) || hasSurrogates(other)) {
    const length = Math.min(one.length, other.length);
    let at = 0;
    while (at < length && one.charCodeAt(at) === other.charCodeAt(at)) at++;
    const rank = (text: string) => (at === text.length ? -1 : text.codePointAt(at)!);
    // Within a pair, the low halves differ and decide; a high half differs with its whole pair.
    return Math.sign(rank(one) - rank(other));
  }
  return one < other ? -1 : 1;
}

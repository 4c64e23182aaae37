/** Most lists and objects within each other; models' files have about eight. */
const MAX_DEPTH = 100;

/**
 * JSON of an untrusted file, as JSON.parse reads it. Errors: SyntaxError, also for values nested so deep
 * that walking over them, as JSON.stringify does, would run out of stack.
 */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError(`it is nested more than ${MAX_DEPTH} deep`);
  return JSON.parse(text);
}

/** Marks a number that JSON has no word for; no key or value of a config.json begins with it. */
const MARK = "\u0000number:";
const BARE = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g;

/**
 * JSON as Python's json module writes and reads it, with NaN, Infinity and -Infinity as numbers. Errors: as parseJson.
 */
export function parsePythonJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text) || isTooDeep(text)) throw error;
    const marked = text.replace(BARE, (part) => (part.startsWith('"') ? part : JSON.stringify(MARK + part)));
    return JSON.parse(marked, (_, value: unknown) =>
      typeof value === "string" && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : value,
    );
  }
}

/** Whether brackets outside of strings go deeper than MAX_DEPTH; JSON.parse reports other errors. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') isString = !isString;
    else if (isString) at += character === "\\" ? 1 : 0;
    else if (character === "[" || character === "{") {
      if (++depth > MAX_DEPTH) return true;
    } else if (character === "]" || character === "}") depth--;
  }
  return false;
}

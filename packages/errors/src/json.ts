/** Lists and objects within each other, at most; the files that models come with have about eight. */
const MAX_DEPTH = 100;

/**
 * JSON of a file that anybody may have made, as JSON.parse reads it. Errors: SyntaxError, also for values nested so deep
 * that whoever walks over them, JSON.stringify among them, would run out of stack.
 */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError(`it is nested more than ${MAX_DEPTH} deep`);
  return JSON.parse(text);
}

/** Whether brackets outside of strings go deeper than MAX_DEPTH; what is wrong otherwise, JSON.parse will say. */
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

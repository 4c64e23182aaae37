/** The word that was meant. */

/** More edits than this are not a typo, however long the word. */
const MAX_EDITS = 3;

/** The nearest of the known words, if any is near: one edit for each three letters, at most MAX_EDITS. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.min(MAX_EDITS, Math.floor(word.length / 3)) + 1;
  for (const other of known) {
    const distance = edits(word, other, least);
    if (distance < least) [best, least] = [other, distance];
  }
  return best;
}

/** Levenshtein's distance, or `enough` when it is at least that. */
function edits(a: string, b: string, enough: number): number {
  if (Math.abs(a.length - b.length) >= enough) return enough;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return Math.min(enough, row[b.length]!);
}

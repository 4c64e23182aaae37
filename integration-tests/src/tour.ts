/** The program that a document's pieces of code form together, and the output that the document shows for each. */

export interface Piece {
  code: string;
  /** Undefined if the document shows no output. */
  expected: string | undefined;
}

/** The ```ts blocks of a Markdown text, each with the ```text block that follows it, if one does before the next. */
export function piecesOf(markdown: string): Piece[] {
  const pieces: Piece[] = [];
  for (const [, language, body = ""] of markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)) {
    if (language === "ts") pieces.push({ code: body, expected: undefined });
    const last = pieces.at(-1);
    if (language === "text" && last) last.expected = body.trimEnd();
  }
  return pieces;
}

/** Printed after each piece. */
const MARK = "\u241e";

/** One module of all pieces. */
export const programOf = (pieces: readonly Piece[]): string =>
  pieces.map(({ code }) => `${code}console.log(${JSON.stringify(MARK)});\n`).join("\n");

/** What each piece printed. */
export const printedOf = (stdout: string): string[] =>
  stdout
    .split(`${MARK}\n`)
    .slice(0, -1)
    .map((text) => text.trimEnd());

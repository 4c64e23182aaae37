/** Lines of styled text of known width. */
import { visible } from "@gradpool/format";

export type Style = "plain" | "bold" | "dim" | "good" | "warning" | "bad" | "accent" | "selected";

export interface Span {
  text: string;
  style: Style;
}

export type Line = readonly Span[];

/** SGR parameters, see ECMA-48. The sixteen basic colours: terminals adapt them to their theme. */
const SGR: Record<Style, string> = {
  plain: "",
  bold: "1",
  dim: "2",
  good: "32",
  warning: "33",
  bad: "31",
  accent: "36",
  selected: "7",
};

export const span = (text: string, style: Style = "plain"): Span => ({ text: visible(text), style });

/** Cells that a character takes: 0 for combining marks, 2 for wide ones (Unicode's East Asian Width). */
function cells(character: string): number {
  if (/\p{M}/u.test(character)) return 0;
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
    character,
  )
    ? 2
    : 1;
}

export const widthOf = (text: string): number => [...text].reduce((sum, character) => sum + cells(character), 0);

/** `text` in exactly `width` cells: cut with an ellipsis, or filled up. */
export function fit(text: string, width: number, align: "left" | "right" = "left"): string {
  const clean = visible(text);
  const own = widthOf(clean);
  if (own <= width) return align === "left" ? clean + " ".repeat(width - own) : " ".repeat(width - own) + clean;
  return width <= 0 ? "" : `${head(clean, width - 1)}…`;
}

/** As many characters from the start as fit into `width` cells, filled up where a wide one did not. */
function head(text: string, width: number): string {
  let left = width;
  let kept = "";
  for (const character of text) {
    if (cells(character) > left) break;
    left -= cells(character);
    kept += character;
  }
  return kept + " ".repeat(left);
}

/** A line as a terminal gets it, cut at `width` cells. */
export function render(line: Line, width: number, hasColor: boolean): string {
  let left = width;
  let out = "";
  for (const { text, style } of line) {
    if (left <= 0) break;
    const shown = widthOf(text) <= left ? text : head(text, left);
    left -= widthOf(shown);
    out += hasColor && style !== "plain" ? `\x1b[${SGR[style]}m${shown}\x1b[0m` : shown;
  }
  return out;
}

/** A terminal's screen as SVG: every cell at its place, whatever the font. */

const CELL = { width: 9, height: 19 };
const MARGIN = 12;

const BACKGROUND = "#12161b";
const COLORS = {
  "": "#e6e9ed",
  1: "#ffffff",
  2: "#9aa5b1",
  31: "#ff8f87",
  32: "#6fdd8b",
  33: "#e3b341",
  36: "#6cb6ff",
};

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** `cells`: lines of { character, rendition }, the rendition as SGR parameters. */
export function terminalSvg(cells) {
  const columns = Math.max(...cells.map((line) => line.length));
  const width = columns * CELL.width + 2 * MARGIN;
  const height = cells.length * CELL.height + 2 * MARGIN;
  const texts = cells.flatMap((line, row) =>
    line.flatMap(({ character, rendition }, column) => {
      // Braille's blank pattern and the space draw nothing.
      if (character === " " || character === "\u2800") return [];
      const x = MARGIN + column * CELL.width;
      const y = MARGIN + row * CELL.height;
      const color = COLORS[rendition] ?? COLORS[""];
      const block = blockOf(character);
      if (block !== undefined) {
        const top = y + CELL.height * (1 - block);
        return [`<rect x="${x}" y="${top}" width="${CELL.width}" height="${CELL.height * block}" fill="${color}"/>`];
      }
      const weight = rendition === "1" ? ' font-weight="bold"' : "";
      return [`<text x="${x}" y="${y + 14}" fill="${color}"${weight}>${escaped(character)}</text>`];
    }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    `<g font-family="DejaVu Sans Mono" font-size="15">${texts.join("")}</g></svg>`,
  ].join("\n");
}

/** Height of a block from U+2581 to U+2588, from 0 to 1; drawn by hand so that neighbours touch. */
function blockOf(character) {
  const eighths = character.codePointAt(0) - 0x2580;
  return eighths >= 1 && eighths <= 8 ? eighths / 8 : undefined;
}

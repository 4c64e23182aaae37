/** Curves in characters. */

const BARS = "▁▂▃▄▅▆▇█";

/** Dots of a braille character, from the bottom up: left column, right column. See Unicode's U+2800 block. */
const DOTS = [
  [0x40, 0x80],
  [0x04, 0x20],
  [0x02, 0x10],
  [0x01, 0x08],
] as const;
const DOTS_HIGH = DOTS.length;
const DOTS_WIDE = 2;

/** `values` as `count` means of neighbours; fewer values stay as they are. Empty where none is finite. */
export function condense(values: readonly number[], count: number): number[] {
  const finite = values.filter(Number.isFinite);
  if (finite.length <= count) return finite;
  return Array.from({ length: count }, (_, i) => {
    const part = finite.slice(Math.floor((i * finite.length) / count), Math.floor(((i + 1) * finite.length) / count));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** One line of bars, at most `width` wide, from the lowest value to the highest. */
export function sparkline(values: readonly number[], width: number): string {
  const points = condense(values, width);
  const { share } = scale(points);
  return points.map((value) => BARS[Math.min(BARS.length - 1, Math.floor(share(value) * BARS.length))]).join("");
}

/** A curve of braille dots: `rows` lines, each `width` wide. */
export function curve(values: readonly number[], width: number, rows: number): string[] {
  const points = condense(values, width * DOTS_WIDE);
  const { share } = scale(points);
  const cells = Array.from({ length: rows }, () => new Uint8Array(width));
  const heights = points.map((value) => Math.round(share(value) * (rows * DOTS_HIGH - 1)));
  heights.forEach((height, x) => {
    // Dots from the one before up or down to this one: steep places stay connected.
    const before = heights[x - 1] ?? height;
    const from = before < height ? before + 1 : before > height ? before - 1 : height;
    for (let y = Math.min(from, height); y <= Math.max(from, height); y++) {
      const row = cells[rows - 1 - Math.floor(y / DOTS_HIGH)];
      const at = Math.floor(x / DOTS_WIDE);
      if (row) row[at] = (row[at] ?? 0) | (DOTS[y % DOTS_HIGH]?.[x % DOTS_WIDE] ?? 0);
    }
  });
  return cells.map((row) => String.fromCharCode(...Array.from(row, (dots) => 0x2800 + dots)));
}

/** The place of a value between the lowest and the highest, from 0 to 1; in the middle when all are equal. */
function scale(points: readonly number[]) {
  const low = Math.min(...points);
  const high = Math.max(...points);
  return { share: (value: number) => (high > low ? (value - low) / (high - low) : 0.5) };
}

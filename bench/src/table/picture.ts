/** The picture of a result: bars of its ratios to PEFT, with their spread. */
import { RUN_COLORS } from "@gradpool/plots";
import type { Spread } from "../rounds.js";
import { occasionText, type Result } from "./result.js";
import type { Line, Reference } from "./row.js";

const COMPARED = ["PEFT float32", "PEFT bfloat16"] as const satisfies Reference[];
const [INK, QUIET_INK] = ["#1f2933", "#52606d"];
const [WIDTH, LEFT, RIGHT, BAR, GAP, HEAD, SECTION] = [1000, 400, 90, 15, 12, 70, 44];

const text = (x: number, y: number, content: string, size = 13, color = INK, anchor = "start") =>
  `<text x="${x}" y="${y}" font-size="${size}" fill="${color}" text-anchor="${anchor}">${content}</text>`;

const barColor = (series: number) => RUN_COLORS[series] ?? INK;

/** SVG, the same for the same result. */
export function speedSvg(result: Result): string {
  const { lines, machine } = result;
  const compared = lines.filter(({ ratios }) => COMPARED.some((reference) => ratios[reference]));
  const speed = compared.filter(({ unit }) => unit !== "GB");
  const memory = compared.filter(({ unit }) => unit === "GB");
  const sections = [
    ...section("Speed, times that of PEFT: more is better", speed, HEAD),
    ...section("Peak memory, share of PEFT’s: less is better", memory, HEAD + heightOf(speed)),
  ];
  const height = HEAD + heightOf(speed) + heightOf(memory) + 10;
  const legend = COMPARED.map((reference, i) => {
    const x = WIDTH - 380 + 184 * i;
    return `<rect x="${x}" y="18" width="14" height="14" fill="${barColor(i)}"/>${text(x + 20, 30, `against ${reference}`, 13, QUIET_INK)}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans, Verdana, sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(24, 32, "gradpool against transformers + PEFT", 18),
    text(24, 54, `${machine.processor}, ${machine.cores} cores; ${occasionText(result)}`, 13, QUIET_INK),
    ...legend,
    ...sections,
    "</svg>\n",
  ].join("\n");
}

const rowHeight = COMPARED.length * BAR + GAP;
const heightOf = (lines: readonly Line[]) => (lines.length === 0 ? 0 : SECTION + lines.length * rowHeight);

/** Lines under a title, from `top` down, on a scale of their own with a mark at 1. */
function section(title: string, lines: readonly Line[], top: number): string[] {
  if (lines.length === 0) return [];
  const spreads = lines.flatMap(({ ratios }) => COMPARED.map((reference) => ratios[reference]));
  const most = Math.max(1, ...spreads.map((spread) => spread?.most ?? 0));
  const at = (value: number) => Math.round(LEFT + ((WIDTH - RIGHT - LEFT) * value) / most);
  const [first, last] = [top + SECTION - 8, top + SECTION + lines.length * rowHeight - GAP + 4];
  return [
    text(24, top + 28, title, 15),
    ...lines.flatMap(({ what, ratios }, row) => {
      const y = top + SECTION + row * rowHeight;
      const bars = COMPARED.map((reference, i) => bar(ratios[reference], y + i * BAR, barColor(i), at));
      return [text(LEFT - 12, y + BAR + 5, what, 13, INK, "end"), ...bars];
    }),
    `<line x1="${at(1)}" x2="${at(1)}" y1="${first}" y2="${last}" stroke="${INK}" stroke-dasharray="4 3"/>`,
  ];
}

function bar(spread: Spread | undefined, y: number, color: string, at: (value: number) => number): string {
  if (!spread) return "";
  const { median, least, most } = spread;
  const middle = y + BAR / 2 - 1;
  return (
    `<rect x="${at(0)}" y="${y}" width="${at(median) - at(0)}" height="${BAR - 2}" fill="${color}"/>` +
    `<line x1="${at(least)}" x2="${at(most)}" y1="${middle}" y2="${middle}" stroke="${INK}"/>` +
    text(at(most) + 8, y + BAR - 3, `${median.toFixed(2)} ×`, 12)
  );
}

/** Draws docs/pictures/scaling.svg from docs/scaling.json: where the time of a simulated pool's devices went. */
import { readFileSync, writeFileSync } from "node:fs";

const PARTS = {
  useful: ["steps", "#2f6f4f"],
  underWay: ["accepted, for steps under way at the end", "#7fb08f"],
  again: ["computed, and in no step at the end", "#c2410c"],
  lost: ["a trainer was lost", "#e3a04f"],
  unwanted: ["its task was taken back", "#9aa5b1"],
  idle: ["idle", "#e4e7eb"],
};
const [WIDTH, LEFT, BAR, GAP, TOP] = [1000, 300, 34, 26, 64];
const INK = "#1f2933";
/** Most is useful: bars begin here. */
const FROM = 0.9;

const pools = JSON.parse(readFileSync(new URL("../docs/scaling.json", import.meta.url), "utf8"));

const x = (share) => LEFT + ((WIDTH - LEFT - 30) * (Math.max(share, FROM) - FROM)) / (1 - FROM);
const text = (at, y, content, anchor = "start") =>
  `<text x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}">${content}</text>`;

const height = TOP + pools.length * (BAR + GAP) + 50 + 22 * Math.ceil(Object.keys(PARTS).length / 2);
const drawn = [text(20, 34, "Where the time of a pool's devices goes, simulated")];
for (const [i, { trainers, runs, seconds, days, quiet, shares }] of pools.entries()) {
  const y = TOP + i * (BAR + GAP);
  const what = `${trainers.toLocaleString("en")} trainers, ${runs} runs, ${Math.round(days * 24)} h`;
  drawn.push(text(20, y + 14, what), text(20, y + 31, `micro-batches of ${seconds} s${quiet ? ", no faults" : ""}`));
  let share = 0;
  for (const [part, [, color]] of Object.entries(PARTS)) {
    const [from, to] = [x(share), x((share += shares[part] ?? 0))];
    drawn.push(
      `<rect x="${from.toFixed(1)}" y="${y}" width="${(to - from).toFixed(1)}" height="${BAR}" fill="${color}"/>`,
    );
  }
}
const axis = TOP + pools.length * (BAR + GAP);
for (let percent = 100 * FROM; percent <= 100; percent += 2)
  drawn.push(text(x(percent / 100), axis + 8, `${percent} %`, "middle"));
for (const [i, [name, color]] of Object.values(PARTS).entries()) {
  const [left, y] = [20 + 480 * (i % 2), axis + 36 + 22 * Math.floor(i / 2)];
  drawn.push(`<rect x="${left}" y="${y - 11}" width="14" height="14" fill="${color}"/>`, text(left + 22, y, name));
}
writeFileSync(
  new URL("../docs/pictures/scaling.svg", import.meta.url),
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans, sans-serif" font-size="14" fill="${INK}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...drawn,
    "</svg>",
    "",
  ].join("\n"),
);

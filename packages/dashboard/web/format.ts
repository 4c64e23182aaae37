/** Numbers and times as people read them. */

/** 125250816 as 125,250,816. */
export const count = (value: number): string => Math.round(value).toLocaleString("en-US");

/** 1 row, 2 rows. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** h:mm:ss. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** 1234567 bytes as 1.2 MB. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${power === 0 ? value : (value / 1000 ** power).toFixed(1)} ${units[power]}`;
}

/** Local time of an ISO 8601 one, as 2026-01-31 23:59:00. */
export function localTime(time: string | undefined): string {
  if (!time) return "–";
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Four decimals; a dash for none. */
export const loss = (value: number | null | undefined): string =>
  value === undefined ? "–" : value === null || !Number.isFinite(value) ? "not a number" : value.toFixed(4);

/** Three digits, such as 5e-5. */
export const rate = (value: number): string => (value === 0 ? "0" : Number(value.toPrecision(3)).toExponential());

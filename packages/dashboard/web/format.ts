/** How the pages show times and numbers. */
import { localTime as formatTime } from "@gradpool/format";

/** Local time of an ISO 8601 one, as 2026-01-31 23:59:00; a dash for none. */
export const localTime = (time: string | undefined): string => (time ? formatTime(new Date(time)) : "–");

/** Four decimals; a dash for none. */
export const loss = (value: number | null | undefined): string =>
  value === undefined ? "–" : value === null || !Number.isFinite(value) ? "not a number" : value.toFixed(4);

/** Three digits, such as 5e-5. */
export const rate = (value: number): string => (value === 0 ? "0" : Number(value.toPrecision(3)).toExponential());

/** datetime.strftime in the C locale, for local time. */
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (value: number) => String(value).padStart(2, "0");
const spaced = (value: number) => String(value).padStart(2);
const hour12 = (date: Date) => date.getHours() % 12 || 12;
const dayOfYear = (date: Date) =>
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) / 86_400_000,
  );
/** Week of the year, the first one beginning with the year's first day of this kind (0: Sunday). */
const week = (date: Date, first: number) => Math.floor((dayOfYear(date) + 6 - ((date.getDay() - first + 7) % 7)) / 7);

const FORMATS: Record<string, (date: Date) => string> = {
  a: (date) => DAYS[date.getDay()]!.slice(0, 3),
  A: (date) => DAYS[date.getDay()]!,
  b: (date) => MONTHS[date.getMonth()]!.slice(0, 3),
  B: (date) => MONTHS[date.getMonth()]!,
  C: (date) => two(Math.floor(date.getFullYear() / 100)),
  c: (date) => strftime("%a %b %e %H:%M:%S %Y", date),
  d: (date) => two(date.getDate()),
  D: (date) => strftime("%m/%d/%y", date),
  e: (date) => spaced(date.getDate()),
  f: (date) => `${String(date.getMilliseconds()).padStart(3, "0")}000`,
  F: (date) => strftime("%Y-%m-%d", date),
  h: (date) => strftime("%b", date),
  H: (date) => two(date.getHours()),
  I: (date) => two(hour12(date)),
  j: (date) => String(dayOfYear(date)).padStart(3, "0"),
  k: (date) => spaced(date.getHours()),
  l: (date) => spaced(hour12(date)),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  r: (date) => strftime("%I:%M:%S %p", date),
  R: (date) => strftime("%H:%M", date),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  S: (date) => two(date.getSeconds()),
  t: () => "\t",
  T: (date) => strftime("%H:%M:%S", date),
  u: (date) => String(date.getDay() || 7),
  U: (date) => two(week(date, 0)),
  w: (date) => String(date.getDay()),
  W: (date) => two(week(date, 1)),
  x: (date) => strftime("%m/%d/%y", date),
  X: (date) => strftime("%H:%M:%S", date),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  // A time without a zone has neither.
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

export function strftime(format: string, date: Date): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, unpadded: string, letter: string) => {
    const text = FORMATS[letter]?.(date);
    if (text === undefined) return whole;
    return unpadded ? text.replace(/^[0 ]+(?=\d)/, "") : text;
  });
}

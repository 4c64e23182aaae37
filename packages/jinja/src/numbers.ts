/** Numbers as Python prints and rounds them. */
import { TemplateError, TemplateLimitError } from "./errors.js";
import { MAX_INT_BITS, MAX_PRECISION } from "./limits.js";

const MAX_INT = 1n << BigInt(MAX_INT_BITS);

/** Errors: TemplateLimitError (L5). */
export function bounded(value: bigint): bigint {
  if (value < MAX_INT && value > -MAX_INT) return value;
  throw new TemplateLimitError(`has a number of more than ${MAX_INT_BITS} bits`);
}

export function toPrecision(digits: bigint): number {
  if (digits <= BigInt(MAX_PRECISION)) return Number(digits);
  throw new TemplateLimitError(`prints a number with more than ${MAX_PRECISION} digits`);
}

/** repr(float): the shortest digits that read as the same number. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return notFinite(value);
  const [mantissa, power] = Math.abs(value).toExponential().split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const exponent = Number(power);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  if (exponent < -4 || exponent >= 16) return sign + mantissa + exponentText(exponent);
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

function notFinite(value: number): string {
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

function exponentText(exponent: number): string {
  return `e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** |value| × 10^power, rounded half to even, exactly. */
function scaled(value: number, power: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const mantissa = (bits & ((1n << 52n) - 1n)) | (biased === 0 ? 0n : 1n << 52n);
  const exponent = Math.max(biased, 1) - 1075;
  let numerator = mantissa * (exponent > 0 ? 1n << BigInt(exponent) : 1n);
  let denominator = exponent < 0 ? 1n << BigInt(-exponent) : 1n;
  if (power > 0) numerator *= 10n ** BigInt(power);
  else denominator *= 10n ** BigInt(-power);
  return divideToEven(numerator, denominator);
}

/** numerator / denominator for numerator >= 0, denominator > 0, rounded half to even. */
export function divideToEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

/** round(value, digits) of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || Math.abs(digits) > 400)
    return digits < 0 && Number.isFinite(value) ? 0 * value : value;
  const text = `${scaled(value, digits)}e${-digits}`;
  return Number(value < 0 || Object.is(value, -0) ? `-${text}` : text);
}

/** Digits of %f, %e, %g of |value|, without a sign. `alternate` keeps a point and zeros, as the flag #. */
export function formatFloat(value: number, kind: string, precision: number, alternate: boolean): string {
  if (!Number.isFinite(value)) return notFinite(Math.abs(value));
  switch (kind) {
    case "f":
      return fixed(value, precision, alternate);
    case "e":
      return exponential(value, precision, alternate).text;
    case "g": {
      const significant = Math.max(precision, 1);
      const { exponent, text } = exponential(value, significant - 1, alternate);
      const plain = exponent >= -4 && exponent < significant;
      const whole = plain ? fixed(value, significant - 1 - exponent, alternate) : text;
      return alternate ? whole : whole.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
    }
    default:
      throw new TemplateError(`Unknown format code '${kind}' for object of type 'float'`);
  }
}

function fixed(value: number, precision: number, alternate: boolean): string {
  const digits = String(scaled(value, precision)).padStart(precision + 1, "0");
  if (precision === 0) return alternate ? `${digits}.` : digits;
  return `${digits.slice(0, -precision)}.${digits.slice(-precision)}`;
}

function exponential(value: number, precision: number, alternate: boolean): { text: string; exponent: number } {
  let exponent = value === 0 ? 0 : Number(Math.abs(value).toExponential().split("e")[1]);
  let digits = String(scaled(value, precision - exponent));
  if (digits.length > precision + 1) {
    exponent++;
    digits = String(scaled(value, precision - exponent));
  }
  digits = digits.padEnd(precision + 1, "0");
  const point = precision > 0 || alternate ? "." : "";
  return { text: digits[0]! + point + digits.slice(1) + exponentText(exponent), exponent };
}

const INTEGER = /^[+-]?\d+(_\d+)*$/;
const FLOAT = /^[+-]?(?:(?:\d+(?:_\d+)*)?\.?(?:\d+(?:_\d+)*)?(?:e[+-]?\d+(?:_\d+)*)?)$/i;

/** int(text, base). Undefined for what Python does not read. `text` has no whitespace around it. */
export function parseInteger(text: string, base: number): bigint | undefined {
  if (base === 10)
    return INTEGER.test(text) && text.length < 5000 ? BigInt(text.replaceAll("_", "").replace(/^\+/, "")) : undefined;
  const match = /^([+-]?)(0[box])?_?([\da-z]+(?:_[\da-z]+)*)$/i.exec(text);
  if (!match || text.length > 1000) return undefined;
  const [, sign, prefix = "", digits] = match as unknown as [string, string, string | undefined, string];
  const named = { "0b": 2, "0o": 8, "0x": 16 }[prefix.toLowerCase()];
  const all = digits.replaceAll("_", "");
  if (base === 0) {
    if (named) return parseDigits(all, named, sign);
    return /^(0+|[1-9]\d*)$/.test(all) && !prefix ? parseDigits(all, 10, sign) : undefined;
  }
  return parseDigits(prefix && named !== base ? prefix + all : all, base, sign);
}

function parseDigits(digits: string, base: number, sign: string): bigint | undefined {
  let value = 0n;
  for (const digit of digits.toLowerCase()) {
    const worth = parseInt(digit, 36);
    if (!(worth < base)) return undefined;
    value = value * BigInt(base) + BigInt(worth);
  }
  return sign === "-" ? -value : value;
}

/** float(text). Undefined for what Python does not read. `text` has no whitespace around it. */
export function parseFloatText(text: string): number | undefined {
  const word = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (word) {
    const value = word[2]!.toLowerCase() === "nan" ? NaN : Infinity;
    return word[1] === "-" ? -value : value;
  }
  return FLOAT.test(text) && /\d/.test(text.split(/e/i)[0]!) ? Number(text.replaceAll("_", "")) : undefined;
}

/**
 * Cosine and power, correctly rounded. Math.cos and Math.pow differ between versions of Node in the last bit,
 * and a learning rate's last bit decides an adapter's (I2). Schedules need them once a step, so they may be slow:
 * they are computed in fixed point, as whole multiples of 2^-BITS.
 */
const BITS = 320;
const ONE = 1n << BigInt(BITS);
/** Results are first rounded here, beyond the errors of the series: what is exact or a tie stays so. */
const GUARD_BITS = 40n;

/** cos(x), for |x| up to a few turns. */
export function cos(x: number): number {
  const square = multiply(fixed(x), fixed(x));
  let term = ONE;
  let sum = 0n;
  for (let n = 1n; term !== 0n; n += 2n) {
    sum += term;
    term = -multiply(term, square) / (n * (n + 1n));
  }
  return rounded(sum);
}

/** base^exponent, for a base from 0 to 1 and an exponent from 0 on. */
export function pow(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  if (base === 0) return 0;
  return exponential(multiply(fixed(exponent), logarithm(base)));
}

/** ln of a positive number: that of its mantissa, from 1 to 2, and of its power of 2. */
function logarithm(x: number): bigint {
  const exponent = Math.floor(Math.log2(x));
  const mantissa = fixed(x / 2 ** exponent);
  return mantissaLogarithm(mantissa) + BigInt(exponent) * mantissaLogarithm(2n * ONE);
}

/** ln m = 2 artanh((m - 1) / (m + 1)). */
function mantissaLogarithm(mantissa: bigint): bigint {
  const z = ((mantissa - ONE) << BigInt(BITS)) / (mantissa + ONE);
  const square = multiply(z, z);
  let sum = 0n;
  for (let [power, n] = [z, 1n]; power !== 0n; power = multiply(power, square), n += 2n) sum += power / n;
  return 2n * sum;
}

/** e^x, for x up to 0: of its rest after multiples of ln 2. */
function exponential(x: bigint): number {
  const ln2 = mantissaLogarithm(2n * ONE);
  const halvings = -x / ln2;
  const rest = x + halvings * ln2;
  let sum = 0n;
  for (let [term, n] = [ONE, 1n]; term !== 0n; term = multiply(term, rest) / n, n += 1n) sum += term;
  return rounded(sum) * 2 ** -Number(halvings);
}

/** A number's bits below 2^-BITS are dropped. */
function fixed(x: number): bigint {
  const scale = 2 ** Math.min(52 - Math.floor(Math.log2(Math.abs(x) || 1)), BITS);
  return (BigInt(Math.trunc(x * scale)) << BigInt(BITS)) / BigInt(scale);
}

const multiply = (a: bigint, b: bigint): bigint => (a * b) / ONE;

/** Number() rounds to the nearest, ties to even; the division by a power of 2 is exact. */
function rounded(value: bigint): number {
  const half = 1n << (GUARD_BITS - 1n);
  return Number((value + (value < 0n ? -half : half)) / (1n << GUARD_BITS)) / 2 ** (BITS - Number(GUARD_BITS));
}

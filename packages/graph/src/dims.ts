/**
 * Symbolic dimensions. A dimension is a whole number or a product of symbols, written "B*S" or
 * "3*B": enough for every shape here, and two are equal exactly when they are written the same.
 * What is joined along a symbolic axis has a sum for a symbol, written "(P+S)".
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

interface Product {
  factor: number;
  symbols: string[];
}

function parse(dim: Dim): Product {
  if (typeof dim === "number") return { factor: dim, symbols: [] };
  const parts = dim.split("*");
  const factor = Number(parts[0]);
  return Number.isNaN(factor) ? { factor: 1, symbols: parts } : { factor, symbols: parts.slice(1) };
}

function write({ factor, symbols }: Product): Dim {
  if (symbols.length === 0 || factor === 0) return factor;
  const product = [...symbols].sort().join("*");
  return factor === 1 ? product : `${factor}*${product}`;
}

/** The number of elements of a shape. */
export function sizeOf(shape: Shape): Dim {
  const products = shape.map(parse);
  return write({
    factor: products.reduce((product, { factor }) => product * factor, 1),
    symbols: products.flatMap(({ symbols }) => symbols),
  });
}

/** a / b where b divides a. Throws otherwise: a shape that does not add up is a bug in a model. */
export function divideDims(a: Dim, b: Dim): Dim {
  const numerator = parse(a);
  const { factor, symbols } = parse(b);
  const left = [...numerator.symbols];
  for (const symbol of symbols) {
    const at = left.indexOf(symbol);
    if (at < 0) throw new Error(`dimension ${a} is not divisible by ${b}`);
    left.splice(at, 1);
  }
  if (factor === 0 || numerator.factor % factor !== 0) throw new Error(`dimension ${a} is not divisible by ${b}`);
  return write({ factor: numerator.factor / factor, symbols: left });
}

/** a + b, of numbers or of single symbols: the length of two tensors, one after the other. */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  if (/[*+]/.test(`${a}${b}`)) throw new Error(`dimensions ${a} and ${b} have no sum`);
  return `(${a}+${b})`;
}

/** The number for a dimension. */
export function evaluateDim(dim: Dim, symbols: Readonly<Record<string, number>>): number {
  const { factor, symbols: names } = parse(dim);
  return names.reduce((product, name) => product * evaluateSymbol(name, symbols), factor);
}

function evaluateSymbol(name: string, symbols: Readonly<Record<string, number>>): number {
  const [, kind, whole = "", wanted] = /^(rows|chunks)\((.*),(\d+)\)$/.exec(name) ?? [];
  if (kind) {
    const all = evaluateDim(whole.replaceAll("·", "*"), symbols);
    const rows = chunkRows(all, Number(wanted));
    return kind === "rows" ? rows : all / rows;
  }
  const terms = /^\((.*)\+(.*)\)$/.exec(name)?.slice(1);
  if (terms) return terms.reduce((sum, term) => sum + evaluateDim(term, symbols), 0);
  const value = symbols[name];
  if (value === undefined) throw new Error(`dimension ${name} has no value`);
  return value;
}

/** A dimension in chunks of equal length, near the wanted one: their number and their length. */
export function chunksOf(rows: Dim, wanted: number): { chunks: Dim; rows: Dim } {
  if (typeof rows === "number") return { chunks: rows / chunkRows(rows, wanted), rows: chunkRows(rows, wanted) };
  const of = `(${rows.replaceAll("*", "·")},${wanted})`;
  return { chunks: `chunks${of}`, rows: `rows${of}` };
}

/** Of a product of a single row ONNX Runtime adds up in another order: chunks of some rows have at least this many. */
const FEWEST_ROWS = 8;

/** The divisor of `all` that is nearest to `wanted`, as a ratio; one row where that is wanted. */
function chunkRows(all: number, wanted: number): number {
  if (wanted === 1) return 1;
  let best = all;
  const farness = (rows: number) => Math.abs(Math.log(rows / wanted));
  for (let rows = FEWEST_ROWS; rows * 2 <= all; rows++)
    if (all % rows === 0 && farness(rows) < farness(best)) best = rows;
  return best;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** An axis counted from the front; -1 is the last. Throws where there is none. */
export function axisOf(shape: Shape, axis: number): number {
  const fromFront = axis < 0 ? axis + shape.length : axis;
  if (shape[fromFront] === undefined) throw new Error(`[${shape.join(", ")}] has no axis ${axis}`);
  return fromFront;
}

/** The dimension of an axis; -1 is the last. Throws where there is none. */
export const dimOf = (shape: Shape, axis: number): Dim => shape[axisOf(shape, axis)] as Dim;

/** NumPy's broadcasting of two shapes. */
export function broadcast(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new Error(`shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
  });
}

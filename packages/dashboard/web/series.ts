/** A run's steps: growing columns, and the points of them that a curve shows. */

/** Columns of numbers, all of equal length. */
export class Series<Column extends string> {
  #columns: Record<Column, Float64Array>;
  #length = 0;

  constructor(readonly names: readonly Column[]) {
    this.#columns = Object.fromEntries(names.map((name) => [name, new Float64Array(1024)])) as Record<
      Column,
      Float64Array
    >;
  }

  get length(): number {
    return this.#length;
  }

  push(row: Readonly<Record<Column, number>>): void {
    for (const name of this.names) {
      let column = this.#columns[name];
      if (this.#length === column.length) {
        const larger = new Float64Array(2 * column.length);
        larger.set(column);
        column = this.#columns[name] = larger;
      }
      column[this.#length] = row[name];
    }
    this.#length += 1;
  }

  /** A view, valid until the next push. */
  column(name: Column): Float64Array {
    return this.#columns[name].subarray(0, this.#length);
  }

  last(name: Column): number | undefined {
    return this.#length > 0 ? this.#columns[name][this.#length - 1] : undefined;
  }

  /** Means over the last rows, fewer at the start; undefined when there are none. */
  meanOfLast(name: Column, rows: number): number | undefined {
    const part = this.column(name).subarray(-rows);
    return part.length > 0 ? part.reduce((sum, value) => sum + value, 0) / part.length : undefined;
  }
}

export interface Point {
  x: number;
  y: number;
}

/**
 * At most 2·`buckets` of the points, in order: of each part of the x axis the lowest and the highest, so that
 * no peak is lost. Points whose y is not finite are left out.
 */
export function decimate(xs: Float64Array, ys: Float64Array, buckets: number): Point[] {
  const points: Point[] = [];
  const finite: number[] = [];
  for (let i = 0; i < xs.length; i++) if (Number.isFinite(ys[i])) finite.push(i);
  const at = (i: number): Point => ({ x: xs[i] ?? 0, y: ys[i] ?? 0 });
  if (finite.length <= 2 * buckets) return finite.map(at);
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = Math.floor((bucket * finite.length) / buckets);
    const to = Math.floor(((bucket + 1) * finite.length) / buckets);
    let low = finite[from] ?? 0;
    let high = low;
    for (let k = from; k < to; k++) {
      const i = finite[k] ?? 0;
      if ((ys[i] ?? 0) < (ys[low] ?? 0)) low = i;
      if ((ys[i] ?? 0) > (ys[high] ?? 0)) high = i;
    }
    points.push(...(low === high ? [low] : [low, high].sort((one, other) => one - other)).map(at));
  }
  return points;
}

/** About `wanted` round numbers that span from `low` to `high`. */
export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: last - first + 1 }, (_, i) =>
    // Multiplying may round beyond the ends.
    Math.min(high, Math.max(low, (first + i) * step)),
  );
}

/** Further values of a label are counted together. */
const MAX_VALUES = 32;
export const OTHER = "other";

/** Bounds the values of a label that come from outside: the first 32 are kept, any further one is "other". */
export class BoundedLabels {
  readonly #known = new Set<string>();

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= MAX_VALUES) return OTHER;
    this.#known.add(value);
    return value;
  }
}

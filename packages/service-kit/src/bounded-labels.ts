/** More values of one label are counted together. */
const MAX_VALUES = 32;
export const OTHER = "other";

/** Keeps a label's values few where they come from outside: each of the first 32 is itself, any further one "other". */
export class BoundedLabels {
  readonly #known = new Set<string>();

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= MAX_VALUES) return OTHER;
    this.#known.add(value);
    return value;
  }
}

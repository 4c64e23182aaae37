import { GradpoolError } from "@gradpool/errors";

/** More than any model has; small enough to allocate. */
const MAX_COUNT = 1 << 24;
const MAX_LAYERS = 10_000;

/** Typed access to config.json. Errors: `failed_precondition`, naming the field. */
export class ConfigReader {
  /** `where`: what the fields are in, for messages, such as "rope_parameters.". */
  constructor(
    private readonly config: Readonly<Record<string, unknown>>,
    private readonly where = "",
  ) {}

  /** A whole number of at least 1: a width, a vocabulary, a number of positions. */
  count(name: string, fallback: number): number {
    return this.#wholeNumber(name, fallback, MAX_COUNT);
  }

  /** A number of layers, each of which is built and checked. */
  layers(name: string, fallback: number, least = 1): number {
    return this.#wholeNumber(name, fallback, MAX_LAYERS, least);
  }

  /** Required without a fallback. */
  positive(name: string, fallback?: number): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw this.#wrong(name, value, "a number above 0");
  }

  /** A list of this many numbers above 0. */
  numbers(name: string, length: number): readonly number[] {
    const value = this.config[name];
    const isNumber = (entry: unknown) => typeof entry === "number" && Number.isFinite(entry) && entry > 0;
    if (Array.isArray(value) && value.length === length && value.every(isNumber)) return value as number[];
    throw this.#wrong(name, value, `a list of ${length} numbers above 0`);
  }

  /** From 0 up to but not including 1. */
  probability(name: string, fallback: number): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && value >= 0 && value < 1) return value;
    throw this.#wrong(name, value, "a probability from 0 to below 1");
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.config[name] ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.#wrong(name, value, "true or false");
  }

  oneOf<T extends string>(name: string, fallback: T, choices: readonly T[]): T {
    const value = this.config[name] ?? fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    throw this.#wrong(name, value, `one of ${choices.join(", ")}`);
  }

  #wholeNumber(name: string, fallback: number, most: number, least = 1): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw this.#wrong(name, value, `a whole number from ${least} to ${most}`);
  }

  #wrong(name: string, value: unknown, expected: string): GradpoolError {
    const text = value === undefined ? "missing" : (JSON.stringify(value) ?? "nothing");
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    const message = `config.json: ${this.where}${name} is ${shown}, but gradpool supports ${expected}`;
    return new GradpoolError("failed_precondition", message);
  }
}

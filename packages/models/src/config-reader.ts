import { GradpoolError } from "@gradpool/errors";

/** Beyond any model; what is allocated by such a number stays small. */
const MAX_COUNT = 1 << 24;
const MAX_LAYERS = 10_000;

/** Typed access to config.json. Errors: `failed_precondition`, naming the field. */
export class ConfigReader {
  constructor(private readonly config: Readonly<Record<string, unknown>>) {}

  /** A whole number of at least 1: a width, a vocabulary, a number of positions. */
  count(name: string, fallback: number): number {
    return this.#wholeNumber(name, fallback, MAX_COUNT);
  }

  /** A number of layers, each of which is built and checked. */
  layers(name: string, fallback: number): number {
    return this.#wholeNumber(name, fallback, MAX_LAYERS);
  }

  positive(name: string, fallback: number): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw wrong(name, value, "a number above 0");
  }

  /** From 0 up to but not including 1. */
  probability(name: string, fallback: number): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && value >= 0 && value < 1) return value;
    throw wrong(name, value, "a probability from 0 to below 1");
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.config[name] ?? fallback;
    if (typeof value === "boolean") return value;
    throw wrong(name, value, "true or false");
  }

  oneOf<T extends string>(name: string, fallback: T, choices: readonly T[]): T {
    const value = this.config[name] ?? fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    throw wrong(name, value, `one of ${choices.join(", ")}`);
  }

  #wholeNumber(name: string, fallback: number, most: number): number {
    const value = this.config[name] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw wrong(name, value, `a whole number from 1 to ${most}`);
  }
}

function wrong(name: string, value: unknown, expected: string): GradpoolError {
  const message = `config.json: ${name} is ${JSON.stringify(value)}, but gradpool supports ${expected}`;
  return new GradpoolError("failed_precondition", message);
}

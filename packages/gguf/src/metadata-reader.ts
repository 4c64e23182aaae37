import { GradpoolError } from "@gradpool/errors";
import { damaged, type GgufFile } from "./gguf-file.js";
import { NumberArray, type MetadataValue } from "./metadata.js";
import { shown } from "./text.js";

/** Most layers checked. */
const MAX_LAYERS = 10_000;

/** Typed access to a file's metadata. Errors: `data_loss` for what is missing or of another type, naming it. */
export class MetadataReader {
  constructor(readonly file: GgufFile) {}

  text(key: string): string {
    return this.#require(key, this.optionalText(key));
  }

  optionalText(key: string): string | undefined {
    return this.#typed(key, "a text", (value) => typeof value === "string");
  }

  /** A whole number of at least 0. */
  count(key: string): number {
    return this.#require(key, this.optionalCount(key));
  }

  optionalCount(key: string): number | undefined {
    const isCount = (value: MetadataValue): value is number =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
    return this.#typed(key, "a whole number", isCount);
  }

  /** A whole number, given once or for each layer, if it is the same for all: other models have layers of their own. */
  uniformCount(key: string): number | undefined {
    const value = this.file.metadata.get(key);
    if (!(value instanceof NumberArray)) return this.optionalCount(key);
    const counts = new Set(Array.from({ length: Math.min(value.length, MAX_LAYERS) }, (_, layer) => value.at(layer)));
    const [count] = counts;
    if (counts.size === 1 && count !== undefined && Number.isSafeInteger(count) && count >= 0) return count;
    throw this.unsupported(`its metadata ${shown(key)} differs from layer to layer, which is not supported`);
  }

  optionalNumber(key: string): number | undefined {
    return this.#typed(key, "a number", (value) => typeof value === "number");
  }

  number(key: string): number {
    return this.#require(key, this.optionalNumber(key));
  }

  optionalFlag(key: string): boolean | undefined {
    return this.#typed(key, "true or false", (value) => typeof value === "boolean");
  }

  texts(key: string): readonly string[] {
    const texts = this.#typed(key, "a list of texts", (value): value is readonly string[] => Array.isArray(value));
    return this.#require(key, texts);
  }

  optionalNumbers(key: string): NumberArray | undefined {
    return this.#typed(key, "a list of numbers", (value) => value instanceof NumberArray);
  }

  damaged(what: string): GradpoolError {
    return damaged(this.file.path, what);
  }

  unsupported(what: string): GradpoolError {
    return new GradpoolError("failed_precondition", `${this.file.path}: ${what}`);
  }

  #require<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw this.damaged(`its metadata lacks ${shown(key)}`);
    return value;
  }

  #typed<T extends MetadataValue>(key: string, what: string, is: (value: MetadataValue) => value is T): T | undefined {
    const value = this.file.metadata.get(key);
    if (value === undefined || is(value)) return value;
    throw this.damaged(`its metadata ${shown(key)} is not ${what}`);
  }
}

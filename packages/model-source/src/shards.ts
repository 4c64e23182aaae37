/** Weights in several files: model.safetensors.index.json and pytorch_model.bin.index.json. */
import { GradpoolError } from "@gradpool/errors";

/** Most files of one model. */
const MAX_SHARDS = 10_000;

const PLAIN_NAME = /^[^/\\\0]{1,255}$/;

/**
 * Which tensors each file holds by the index, files sorted by name. Errors: `data_loss` for what is not
 * an index, and for file names with a folder.
 */
export function readShardIndex(index: unknown, path: string): Map<string, Set<string>> {
  const damaged = (what: string) =>
    new GradpoolError("data_loss", `${path} is damaged: ${what}; download the model again`);
  const map = isObject(index) ? index["weight_map"] : undefined;
  if (!isObject(map)) throw damaged("it has no weight_map");
  const shards = new Map<string, Set<string>>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !PLAIN_NAME.test(file) || file === "." || file === "..") {
      throw damaged(`${shown(tensor)} is in ${shown(file)}, which is not the name of a file beside it`);
    }
    const tensors = shards.get(file) ?? new Set();
    shards.set(file, tensors.add(tensor));
    if (shards.size > MAX_SHARDS) throw damaged(`it names more than ${MAX_SHARDS} files`);
  }
  if (shards.size === 0) throw damaged("its weight_map is empty");
  return new Map([...shards].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Every tensor is in the file that the index names, and nowhere else. Gives the missing ones, each with the error,
 * should one of them be needed. Errors: `data_loss`.
 */
export function checkShard(
  indexed: ReadonlySet<string>,
  found: ReadonlySet<string>,
  path: string,
): Map<string, GradpoolError> {
  const refuse = (what: string) =>
    new GradpoolError("data_loss", `${path} does not fit its index: ${what}; download the model again`);
  for (const tensor of found) {
    if (!indexed.has(tensor)) throw refuse(`it holds ${shown(tensor)}, which the index does not place there`);
  }
  const absent = [...indexed].filter((tensor) => !found.has(tensor));
  return new Map(absent.map((tensor) => [tensor, refuse(`it lacks ${shown(tensor)}`)]));
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Models of known shapes with small random weights, reproducible: a benchmark's speed does not depend on their values. */
import { createWriteStream, existsSync } from "node:fs";
import { copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

export interface RandomModel {
  /** Name of its folder. */
  name: string;
  config: Readonly<Record<string, unknown>>;
  /** Names and shapes, in the file's order. */
  tensors: readonly (readonly [name: string, shape: readonly number[]])[];
  /** Tensors that scale, and are therefore 1. */
  isScale: RegExp;
}

/** Makes the model once, in the system's folder for temporary files, and returns its folder. */
export async function randomModelFolder({ name, config, tensors, isScale }: RandomModel): Promise<string> {
  const dir = join(tmpdir(), `gradpool-bench-${name}`);
  const weights = join(dir, "model.safetensors");
  if (existsSync(weights)) return dir;
  await mkdir(dir, { recursive: true });
  // Any tokenizer whose ids fit the embedding will do.
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(fileURLToPath(new URL(`../../../models/tiny-coder/${file}`, import.meta.url)), join(dir, file));
  }
  await writeFile(join(dir, "config.json"), JSON.stringify(config, undefined, 2));
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const [tensor, shape] of tensors) {
    const bytes = 4 * sizeOf(shape);
    header[tensor] = { dtype: "F32", shape, data_offsets: [offset, (offset += bytes)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const partial = `${weights}.${process.pid}`;
  await pipeline(Readable.from([length, json]), createWriteStream(partial));
  await pipeline(Readable.from(values(tensors, isScale)), createWriteStream(partial, { flags: "a" }));
  await rename(partial, weights);
  return dir;
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

/** Weights of all tensors in order. */
function* values(tensors: RandomModel["tensors"], isScale: RegExp): Generator<Uint8Array> {
  let state = 1;
  for (const [name, shape] of tensors) {
    const data = new Float32Array(sizeOf(shape));
    for (let i = 0; i < data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      data[i] = isScale.test(name) ? 1 : (state / 2 ** 31) * 0.035;
    }
    yield new Uint8Array(data.buffer);
  }
}

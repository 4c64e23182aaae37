import { open } from "node:fs/promises";
import { join } from "node:path";
import { toFloat32 } from "@gradpool/safetensors";
import type { ModelSource } from "./model-source.js";

/** Rows read at once. */
const ROWS_PER_READ = 1024;

/**
 * The mean of a table's rows [V, C], summed in float64: the row [C] that an added pad token gets, as
 * transformers' resize_token_embeddings(mean_resizing=True) chooses it, less its noise of 1e-9.
 */
export async function meanRow(source: ModelSource, tensor: string): Promise<Float32Array> {
  const entry = source.header.tensors.get(tensor);
  const [rows, width] = entry?.shape ?? [];
  if (!entry || rows === undefined || width === undefined) throw new Error(`${tensor} is not a table`);
  const rowBytes = (entry.end - entry.begin) / rows;
  const sums = new Float64Array(width);
  const file = await open(join(source.weightsDir, entry.file));
  try {
    for (let row = 0; row < rows; row += ROWS_PER_READ) {
      const count = Math.min(ROWS_PER_READ, rows - row);
      const data = new Uint8Array(count * rowBytes);
      await file.read(data, 0, data.byteLength, entry.begin + row * rowBytes);
      const values = toFloat32({ dtype: entry.dtype, data });
      for (let i = 0; i < values.length; i++) sums[i % width]! += values[i]!;
    }
  } finally {
    await file.close();
  }
  return Float32Array.from(sums, (sum) => sum / rows);
}

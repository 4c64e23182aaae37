import { open } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { WeightEntry } from "@gradpool/models";

/** Bytes of a tensor that are in memory at once, but for at least one row. */
const PIECE_BYTES = 8 << 20;

/** Whole rows of a tensor. */
export interface TensorPiece {
  firstRow: number;
  data: Uint8Array<ArrayBuffer>;
}

/** A tensor's bytes from its file, piece by piece. Errors: `data_loss` when the file has become shorter. */
export async function* tensorPieces(
  { weightsDir }: { weightsDir: string },
  { name, file: weightsFile, begin, end, shape }: WeightEntry,
): AsyncGenerator<TensorPiece> {
  const rowBytes = (end - begin) / (shape[0] ?? 1);
  const pieceBytes = Math.max(1, Math.floor(PIECE_BYTES / rowBytes)) * rowBytes;
  await using file = await open(join(weightsDir, weightsFile));
  for (let at = 0; at < end - begin; at += pieceBytes) {
    const data = new Uint8Array(Math.min(pieceBytes, end - begin - at));
    const { bytesRead } = await file.read(data, 0, data.byteLength, begin + at);
    if (bytesRead < data.byteLength) {
      throw new GradpoolError("data_loss", `model_id: ${name} is truncated; download the model again`);
    }
    yield { firstRow: at / rowBytes, data };
  }
}

/** Files that torch.save(model.state_dict()) wrote, of either format. Nothing in them is ever executed (I7). */
import { isOldFile, readOldFile } from "./old-file.js";
import { damaged, type RandomAccess } from "./random-access.js";
import type { TorchFile } from "./state-dict.js";
import { readZipFile } from "./zip-file.js";

const ZIP_MAGIC = 0x04034b50;

/**
 * Finds the tensors of a torch file. Errors: `data_loss` for a damaged file, `failed_precondition` for what
 * is not a plain dict of tensors, naming what else it holds.
 */
export async function readTorchFile(file: RandomAccess): Promise<TorchFile> {
  const first = await file.read(0, 16);
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  if (first.byteLength >= 4 && view.getUint32(0, true) === ZIP_MAGIC) return readZipFile(file);
  if (isOldFile(first)) return readOldFile(file);
  throw damaged(file.path, "it was not written by torch.save");
}

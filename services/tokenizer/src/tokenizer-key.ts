import { stat } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { TokenizerRef } from "@gradpool/rpc";
import { SOURCE_FILES } from "@gradpool/tokenizers";
import type { ModelFolders } from "./model-folders.js";
import type { TokenizerKey } from "./work.js";

/**
 * The tokenizer that a reference currently names. Errors: `invalid_argument` without one, `not_found` for no folder,
 * and those of `folderOf`.
 */
export async function keyOf(
  ref: TokenizerRef | undefined,
  models: ModelFolders,
  signal: AbortSignal,
): Promise<TokenizerKey> {
  if (!ref?.modelId) {
    throw new GradpoolError("invalid_argument", "tokenizer.model_id is missing; name a model folder");
  }
  const dir = await models.folderOf(ref.modelId, signal);
  const found = await stat(dir).catch(() => undefined);
  if (!found?.isDirectory()) {
    const problem = found ? "is a file" : "does not exist";
    throw new GradpoolError("not_found", `model_id: ${ref.modelId} ${problem}; give a folder with a tokenizer`);
  }
  const files = await Promise.all(SOURCE_FILES.map((name) => stat(join(dir, name)).catch(() => undefined)));
  const signature = files.map((file) => (file ? `${file.ino}:${file.size}:${file.mtimeMs}` : "")).join(" ");
  return { dir, padToken: ref.padToken, signature };
}

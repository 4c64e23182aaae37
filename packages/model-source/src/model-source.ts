/** Where a model_id becomes files. */
import { createHash } from "node:crypto";
import { openFamily, type Model, type WeightsHeader } from "@gradpool/models";
import { CONFIG_FILE, ModelFolder } from "./model-folder.js";
import { modelPath } from "./model-path.js";
import type { ModelPlaces, OpenOptions } from "./model-places.js";
import { readWeights } from "./weights.js";

const MAX_CONFIG_BYTES = 10_000_000;

/** A model that was found, read as far as its weights' headers, and checked. */
export interface ModelSource {
  /** As the user named it. */
  modelId: string;
  /** What means the same model to another process: an absolute path, or "org/name@commit". */
  id: string;
  /** Absolute folder of its files. */
  dir: string;
  /** Absolute folder that the weights' files are named in. */
  weightsDir: string;
  /** SHA-256 (hex) over config.json and the weights' headers. */
  modelHash: string;
  header: WeightsHeader;
  model: Model;
}

/**
 * Opens a model folder, a GGUF file, or a model of the hub. Errors: those of `modelPath` and `readWeights`;
 * `not_found` for a missing folder or file, `permission_denied`, `failed_precondition` for an unsupported
 * architecture, `data_loss` for damaged files.
 */
export async function openModel(modelId: string, places?: ModelPlaces, options?: OpenOptions): Promise<ModelSource> {
  const path = await modelPath(modelId, places, options);
  const folder = await ModelFolder.open(modelId, path.folder);
  const config = await folder.readJson(CONFIG_FILE, MAX_CONFIG_BYTES);
  const { header, fingerprints } = await readWeights(folder);
  const hash = createHash("sha256").update(config.bytes);
  for (const bytes of fingerprints) hash.update(bytes);
  const model = openFamily(config.value, header);
  const { dir, weightsDir } = folder;
  return { modelId, id: path.id, dir, weightsDir, modelHash: hash.digest("hex"), header, model };
}

/** Where a model_id becomes files. */
import { createHash } from "node:crypto";
import type { ModelPlaces, OpenOptions } from "@gradpool/hub";
import { checkConfig, isSamePlace, openFamily, type Model, type WeightsHeader } from "@gradpool/models";
import { CONFIG_FILE, ModelFolder } from "./model-folder.js";
import { modelPath } from "./model-path.js";
import { plainHeader, plainWeights } from "./plain-weights.js";
import { readWeights } from "./weights.js";

const MAX_CONFIG_BYTES = 10_000_000;
const ADAPTER_CONFIG = "adapter_config.json";

/** A model that was found, read as far as its weights' headers, and checked. */
export interface ModelSource {
  /** As the user named it. */
  modelId: string;
  /** Names the same model to another process: an absolute path, or "org/name@commit". */
  id: string;
  /** Absolute folder of its files. */
  dir: string;
  /** Absolute folder that the weights' files are named in. */
  weightsDir: string;
  /** SHA-256 (hex) over config.json and the weights' headers. */
  modelHash: string;
  header: WeightsHeader;
  model: Model;
  /** Notes for the user: what the model has that is not used. */
  notes: string[];
}

/** Tables that older versions of transformers saved with the weights, and that every reader computes itself. */
const DERIVED = /(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)$/;
/** Names in a note. */
const MAX_NAMED = 5;

/**
 * Opens a model folder, a GGUF file, or a model of the hub. Errors: those of `modelPath` and `readWeights`;
 * `not_found` for a missing folder or file, `permission_denied`, `failed_precondition` for an unsupported
 * architecture, `data_loss` for damaged files.
 */
export async function openModel(modelId: string, places?: ModelPlaces, options?: OpenOptions): Promise<ModelSource> {
  const path = await modelPath(modelId, places, options);
  const folder = await ModelFolder.open(modelId, path.folder);
  const config = await folder.readJson(CONFIG_FILE, MAX_CONFIG_BYTES);
  // What config.json alone rules out is reported first, not its effect on the weights.
  checkConfig(config.value);
  const { header: stored, strided, fingerprints } = await readWeights(folder);
  const hash = createHash("sha256").update(config.bytes);
  for (const bytes of fingerprints) hash.update(bytes);
  const model = openFamily(config.value, plainHeader(stored, strided));
  const { dir } = folder;
  const modelHash = hash.digest("hex");
  const source = { modelId, modelHash, weightsDir: folder.weightsDir, header: stored, strided, needed: model.weights };
  const notes = [
    ...unusedNotes(plainHeader(stored, strided), model),
    ...codeNotes(config.value),
    ...(await adapterNotes(folder)),
  ];
  return { modelId, id: path.id, dir, modelHash, model, notes, ...(await plainWeights(source, places?.cacheDir)) };
}

/** As transformers without trust_remote_code, which then takes its own class for a `model_type` that it knows. */
function codeNotes(config: unknown): string[] {
  const { auto_map: code, model_type: type } = config as Readonly<Record<string, unknown>>;
  if (code === undefined) return [];
  return [
    `the model's own code (auto_map in ${CONFIG_FILE}) is never run: the model is computed as a plain ${String(type)}`,
  ];
}

/** transformers adds an adapter that it finds beside a model to it. */
async function adapterNotes(folder: ModelFolder): Promise<string[]> {
  if (!(await folder.has(ADAPTER_CONFIG))) return [];
  const how = "name the folder as --init_adapter or --adapter, or merge it into the model (gradpool export --merged)";
  return [`the adapter in the model's folder (${ADAPTER_CONFIG}) is not applied: to use it, ${how}`];
}

function unusedNotes({ tensors, unreadable }: WeightsHeader, { weights }: Model): string[] {
  const used = [...weights].map((name) => tensors.get(name));
  const isUsed = (name: string) => {
    const entry = tensors.get(name);
    return weights.has(name) || (entry !== undefined && used.some((other) => isSamePlace(entry, other)));
  };
  const names = [...tensors.keys(), ...(unreadable?.keys() ?? [])];
  const unused = names.filter((name) => !DERIVED.test(name) && !isUsed(name));
  if (unused.length === 0) return [];
  const listed = unused.slice(0, MAX_NAMED).map((name) => JSON.stringify(name.slice(0, 100)));
  const more = unused.length > MAX_NAMED ? `, and ${unused.length - MAX_NAMED} more` : "";
  return [`the weights contain tensors that the model in config.json does not use: ${listed.join(", ")}${more}`];
}

/** A model, perhaps with an adapter, to use in this process. */
import { join } from "node:path";
import {
  adaptedModules,
  adapterOf,
  loraScaling,
  ownScalings,
  parseAdapterConfig,
  readAdapter,
  type AdaptedModule,
  type AdapterTensors,
} from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { type ModelPlaces } from "@gradpool/hub";
import { openModel, TORCH_ADAPTER, torchAdapter, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE } from "@gradpool/run-folder";
import type { Adapter } from "@gradpool/runtime";
import { loadTokenizer, type HfTokenizer } from "@gradpool/tokenizers";
import type { AdapterFolder } from "./adapter-folder.js";
import type { AdapterFlags } from "./adapter-place.js";

const TOKENIZER_CONFIG = "tokenizer_config.json";

export interface AdaptedModel {
  source: ModelSource;
  /** The base's, with the pad token that the adapter was trained with. */
  tokenizer: HfTokenizer;
  /** Modules that the adapter adapts; none without one. */
  targets: LinearModule[];
  adapter?: Adapter;
  /** The adapter's own tokenizer files name this pad token. */
  adapterPad?: string | undefined;
  /** The adapter was trained on an embedding that had grown by a row for it. */
  padRow: boolean;
}

/** What the commands that use a model have in common. */
export interface AdaptedModelFlags extends AdapterFlags {
  model_id: string;
  /** Empty: the adapter's, else the tokenizer's own, else one is added. */
  pad_token: string;
}

/** `folder` holds the adapter. Errors: those of the model, the tokenizer and the adapter; `failed_precondition` when they do not fit together. */
export async function openAdaptedModel(
  flags: Pick<AdaptedModelFlags, "model_id" | "pad_token">,
  models: ModelPlaces,
  folder: AdapterFolder | undefined,
): Promise<AdaptedModel> {
  const source = await openModel(flags.model_id, models);
  const { description } = source.model;
  const adapterPad = folder && (await padTokenOf(folder));
  const tokenizer = await tokenizerWithPad(source.dir, flags.pad_token, adapterPad);
  const { vocabSize, padTokenAdded } = tokenizer.info;
  const own = padTokenAdded ? vocabSize - 1 : vocabSize;
  if (own > description.vocabSize) {
    const problem = `the tokenizer has ${own} tokens, but the model's embedding only has ${description.vocabSize}`;
    throw new GradpoolError("failed_precondition", `${problem}; use the model's own tokenizer`);
  }
  if (!folder) return { source, tokenizer, targets: [], padRow: false };
  const config = parseAdapterConfig(await folder.readJson(ADAPTER_CONFIG_FILE));
  const targets = adaptedModules(selectTargets(description, config.targetModules), config);
  const tensors = await adapterTensors(folder, targets, config.r);
  const adapter = { tensors, scaling: loraScaling(config), ownScalings: ownScalings(targets, config) };
  const padRow = adapterPad !== undefined && vocabSize > description.vocabSize;
  return { source, tokenizer, targets, adapter, adapterPad, padRow };
}

async function adapterTensors(folder: AdapterFolder, targets: AdaptedModule[], r: number): Promise<AdapterTensors> {
  const isOld = !(await folder.has(ADAPTER_FILE)) && (await folder.has(TORCH_ADAPTER));
  if (isOld) {
    const path = join(folder.path, TORCH_ADAPTER);
    return adapterOf(await torchAdapter(await folder.read(TORCH_ADAPTER), path), targets, r);
  }
  return readAdapter(await folder.read(ADAPTER_FILE), targets, r, join(folder.path, ADAPTER_FILE));
}

/** The pad token that the adapter's own tokenizer files name. */
async function padTokenOf(folder: AdapterFolder): Promise<string | undefined> {
  if (!(await folder.has(TOKENIZER_CONFIG))) return undefined;
  const token = (await folder.readJson(TOKENIZER_CONFIG))["pad_token"];
  const content = typeof token === "object" && token !== null ? (token as { content?: unknown }).content : token;
  return typeof content === "string" ? content : undefined;
}

/** What training did with the base's tokenizer: an adapter's folder has no config.json to find its eos in. */
async function tokenizerWithPad(dir: string, wanted: string, adapterPad: string | undefined): Promise<HfTokenizer> {
  const tokenizer = await loadTokenizer(dir, wanted);
  if (wanted !== "" || adapterPad === undefined || tokenizer.info.padToken === adapterPad) return tokenizer;
  return loadTokenizer(dir, adapterPad);
}

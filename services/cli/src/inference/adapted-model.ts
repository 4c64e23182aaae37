/** A model, perhaps with an adapter, to use in this process. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  loraScaling,
  ownScalings,
  parseAdapterConfig,
  readAdapter,
  withRanks,
  type AdapterConfig,
} from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import type { Adapter } from "@gradpool/runtime";
import { loadTokenizer, type HfTokenizer } from "@gradpool/tokenizers";

export interface AdaptedModel {
  source: ModelSource;
  tokenizer: HfTokenizer;
  /** Modules that the adapter adapts; none without one. */
  targets: LinearModule[];
  adapter?: Adapter;
}

export interface AdaptedModelFlags {
  model_id: string;
  /** Folder with adapter_config.json and adapter_model.safetensors. */
  adapter?: string;
  pad_token: string;
}

/** Errors: those of the model, the tokenizer and the adapter; `failed_precondition` when they do not fit together. */
export async function openAdaptedModel(flags: AdaptedModelFlags): Promise<AdaptedModel> {
  const source = await openModel(flags.model_id);
  const tokenizer = await loadTokenizer(source.dir, flags.pad_token);
  const { vocabSize, padTokenAdded } = tokenizer.info;
  const { description } = source.model;
  const own = padTokenAdded ? vocabSize - 1 : vocabSize;
  if (own > description.vocabSize) {
    const problem = `the tokenizer has ${own} tokens, but the model's embedding only ${description.vocabSize}`;
    throw new GradpoolError("failed_precondition", `${problem}; use the model's own tokenizer`);
  }
  if (flags.adapter === undefined) return { source, tokenizer, targets: [] };
  const config = await readConfig(flags.adapter);
  const targets = withRanks(selectTargets(description, config.targetModules), config);
  const path = join(flags.adapter, "adapter_model.safetensors");
  const tensors = readAdapter(await readPart(path), targets, config.r, path);
  const scalings = { scaling: loraScaling(config), ownScalings: ownScalings(targets, config) };
  return { source, tokenizer, targets, adapter: { tensors, ...scalings } };
}

async function readConfig(folder: string): Promise<AdapterConfig> {
  const path = join(folder, "adapter_config.json");
  const text = (await readPart(path)).toString("utf8");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new GradpoolError("data_loss", `adapter: ${path} is not valid JSON; copy the adapter again`, { cause });
  }
  return parseAdapterConfig(json);
}

async function readPart(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    const advice = "give a folder that gradpool or PEFT saved";
    throw new GradpoolError("not_found", `adapter: ${path} cannot be read (${code}); ${advice}`, { cause });
  }
}

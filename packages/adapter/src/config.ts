import { GradpoolError } from "@gradpool/errors";
import { isModulePattern } from "./module-pattern.js";

export interface LoraSettings {
  r: number;
  alpha: number;
  /** Probability, 0 up to but not including 1. */
  dropout: number;
  /** Module names or their last parts, such as "c_attn"; or one regular expression; or "all-linear". */
  targetModules: string[];
  /** Scaling is alpha / √r instead of alpha / r. */
  useRslora: boolean;
  /** Weight-decomposed (DoRA): each module has a magnitude vector. */
  useDora: boolean;
  /** Ranks of modules that have another than r, by a regular expression for their names' last parts. */
  rankPattern: Readonly<Record<string, number>>;
  /** Alphas likewise. */
  alphaPattern: Readonly<Record<string, number>>;
}

export interface AdapterConfig extends LoraSettings {
  /** Folder or hub id of the base model; undefined when the file does not say. */
  baseModel: string | undefined;
}

/**
 * adapter_config.json as PEFT 0.21 writes it, less the keys that are recent or differ between versions:
 * PEFT before 0.14 fails on keys it does not know, and every version fills in those that are absent.
 */
export function adapterConfigJson(options: {
  /** Folder or hub id of the base model. */
  baseModel: string;
  /** Of a base model on the hub: branch, tag or commit, where one was named. */
  revision?: string | undefined;
  lora: Omit<LoraSettings, "targetModules">;
  targetModules: readonly string[];
  /** The model stores its linear weights [in, out] (GPT-2's Conv1D). */
  fanInFanOut: boolean;
}): string {
  const { baseModel, revision, lora, targetModules, fanInFanOut } = options;
  const config = {
    alpha_pattern: lora.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: "none",
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: lora.alpha,
    lora_dropout: lora.dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: lora.r,
    rank_pattern: lora.rankPattern,
    revision: revision ?? null,
    target_modules: isOneString(targetModules) ? targetModules[0] : [...targetModules].sort(),
    task_type: "CAUSAL_LM",
    use_dora: lora.useDora,
    use_rslora: lora.useRslora,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** PEFT's word for every linear layer but the head. */
export const ALL_LINEAR = "all-linear";

/** From this many modules on, PEFT writes no whole names (its MIN_TARGET_MODULES_FOR_OPTIMIZATION). */
const MANY_TARGETS = 20;

/** What PEFT 0.21 writes as target_modules for all-linear: the modules' names, or of many their last parts, which no others have. */
export function allLinearAsWritten(names: readonly string[]): string[] {
  return names.length < MANY_TARGETS ? [...names] : [...new Set(names.map((name) => name.replace(/^.*\./, "")))];
}

/** A recipe's word for the modules that fit the model (PEFT's None). */
export const OWN_TARGETS = "auto";

/** What PEFT takes as a string: a regular expression, or all-linear. */
const isOneString = (patterns: readonly string[]) =>
  isModulePattern(patterns) || (patterns.length === 1 && patterns[0] === ALL_LINEAR);

/** Keys that say where an adapter comes from or how it was initialized, not what it computes. */
const WITHOUT_EFFECT = new Set([
  "auto_mapping",
  "corda_config",
  "eva_config",
  "fan_in_fan_out",
  "inference_mode",
  "loftq_config",
  "lora_ga_config",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
]);

/** Initializations that leave the base's weights alone. */
const PLAIN_INITIALIZATIONS: readonly unknown[] = [undefined, null, true, false, "gaussian", "eva", "orthogonal"];

/**
 * What gradpool needs of an adapter_config.json. Errors: `data_loss` when it is not such a file,
 * `unimplemented` naming the first setting that gradpool does not build, so that nothing is ignored silently.
 */
export function parseAdapterConfig(json: unknown): AdapterConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw malformed("it is not a JSON object");
  const { peft_type, task_type, bias, init_lora_weights, ...rest } = json as Record<string, unknown>;
  const { base_model_name_or_path, r, lora_alpha, lora_dropout, target_modules, use_rslora, ...patterned } = rest;
  const { rank_pattern, alpha_pattern, use_dora, ...others } = patterned;
  if (peft_type === undefined) throw malformed("it has no peft_type");
  if (peft_type !== "LORA") throw unsupported("peft_type", peft_type, "LORA");
  if (task_type !== "CAUSAL_LM" && !isNeutral(task_type)) throw unsupported("task_type", task_type, "CAUSAL_LM");
  if (bias !== "none" && bias !== undefined) throw unsupported("bias", bias, "none");
  if (!PLAIN_INITIALIZATIONS.includes(init_lora_weights)) {
    throw unsupported("init_lora_weights", init_lora_weights, "an initialization that leaves the base model as it is");
  }
  for (const [key, value] of Object.entries(others)) {
    if (!WITHOUT_EFFECT.has(key) && !isNeutral(value)) throw unsupported(key, value, "an adapter without it");
  }
  return {
    r: positiveInteger("r", r ?? 8),
    alpha: positive("lora_alpha", lora_alpha ?? 8),
    dropout: numberIn("lora_dropout", lora_dropout ?? 0, (value) => value >= 0 && value < 1, "from 0 to below 1"),
    targetModules: moduleNames(target_modules),
    useRslora: flag("use_rslora", use_rslora ?? false),
    useDora: flag("use_dora", use_dora ?? false),
    rankPattern: patternValues("rank_pattern", rank_pattern ?? {}, positiveInteger),
    alphaPattern: patternValues("alpha_pattern", alpha_pattern ?? {}, positive),
    baseModel: typeof base_model_name_or_path === "string" ? base_model_name_or_path : undefined,
  };
}

/** The values by which PEFT says "not used". */
function isNeutral(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function moduleNames(value: unknown): string[] {
  // PEFT takes a string as a regular expression for whole names, or as a word for all linear layers.
  if (typeof value === "string" && value !== "") return [value.toLowerCase() === ALL_LINEAR ? ALL_LINEAR : value];
  const isList = Array.isArray(value) && value.length > 0;
  if (!isList || !value.every((name) => typeof name === "string" && name !== "")) {
    throw malformed("target_modules is not a list of names");
  }
  return value as string[];
}

function patternValues(
  key: string,
  value: unknown,
  check: (key: string, value: unknown) => number,
): Record<string, number> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(`${key} is not an object`);
  return Object.fromEntries(
    Object.entries(value).map(([pattern, number]) => [pattern, check(`${key}[${shown(pattern)}]`, number)]),
  );
}

function positive(key: string, value: unknown): number {
  return numberIn(key, value, (number) => number > 0, "above 0");
}

function positiveInteger(key: string, value: unknown): number {
  return numberIn(key, value, (number) => Number.isSafeInteger(number) && number >= 1, "a whole number of at least 1");
}

function numberIn(key: string, value: unknown, holds: (value: number) => boolean, bound: string): number {
  if (typeof value === "number" && Number.isFinite(value) && holds(value)) return value;
  throw malformed(`${key} is ${shown(value)}, but must be ${bound}`);
}

function flag(key: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw malformed(`${key} is ${shown(value)}, but must be true or false`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function unsupported(key: string, value: unknown, supported: string): GradpoolError {
  const message = `adapter_config.json: ${shown(key).slice(1, -1)} is ${shown(value)}, which gradpool does not support`;
  return new GradpoolError("unimplemented", `${message}; use ${supported}`);
}

function malformed(what: string): GradpoolError {
  return new GradpoolError("data_loss", `adapter_config.json is damaged: ${what}; copy the adapter again`);
}

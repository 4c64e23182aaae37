import { ALL_LINEAR, isModulePattern, modulePattern, OWN_TARGETS } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import type { Shape } from "@gradpool/graph";

/** A linear layer that LoRA can adapt. */
export interface LinearModule {
  /** Full name as PEFT sees it, such as "transformer.h.0.attn.c_attn". */
  name: string;
  inFeatures: number;
  outFeatures: number;
}

/** What the rest of gradpool needs to know about a model. */
export interface ModelDescription {
  /** config.json's model_type. */
  modelType: string;
  /** Modules that are adapted where none are chosen. */
  ownTargets: readonly string[];
  /** All linear layers, in the order of the forward pass. */
  modules: LinearModule[];
  /** Rows of the embedding. */
  vocabSize: number;
  /** Longest sequence. */
  maxPositions: number;
  /** Parameters, shared ones counted once. */
  parameters: number;
  /** Parameters that one more token would add: an embedding row, and one of an untied head. */
  parametersPerToken: number;
  /** Linear weights are stored [in, out] (GPT-2's Conv1D), PEFT's fan_in_fan_out. */
  fanInFanOut: boolean;
}

/** Tensors of the embedding and of the head, whose mean rows an added pad token takes. */
export interface TokenTables {
  embedding: string;
  /** Equal to `embedding` when tied. */
  head: string;
}

/** A place where the model itself drops elements in training, as its config says. */
export interface DropoutSite {
  /** As torch names the module, such as "transformer.h.0.attn.attn_dropout". */
  name: string;
  /** That an element is dropped, above 0 and below 1. */
  probability: number;
  /** Of what is dropped from, in the symbols B and S. */
  shape: Shape;
}

/** The modules that a recipe names, or where it leaves them to the model, the model's own. */
export const namedTargets = ({ ownTargets }: ModelDescription, patterns: readonly string[]): string[] =>
  patterns.length === 1 && patterns[0] === OWN_TARGETS ? [...ownTargets] : [...patterns];

/**
 * The modules that PEFT would adapt, sorted by name: those whose name is a pattern or ends in "." + pattern;
 * of a single regular expression, those whose whole name it matches; of "all-linear", all, since the head is
 * none of them (peft.tuners.tuners_utils.check_target_module_exists).
 * Errors: `invalid_argument` when a pattern matches nothing, listing the modules; those of modulePattern.
 */
export function selectTargets(description: ModelDescription, patterns: readonly string[]): LinearModule[] {
  const rules = rulesOf(patterns);
  for (const { pattern, matches } of rules) {
    if (description.modules.some(({ name }) => matches(name))) continue;
    const kinds = [...new Set(description.modules.map(({ name }) => name.replace(/^.*\.\d+\./, "")))].join(", ");
    throw new GradpoolError(
      "invalid_argument",
      `target_modules: no module matches ${pattern}; this model has ${kinds}`,
    );
  }
  return description.modules
    .filter(({ name }) => rules.some(({ matches }) => matches(name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function rulesOf(patterns: readonly string[]): { pattern: string; matches: (name: string) => boolean }[] {
  if (isModulePattern(patterns)) {
    const [pattern] = patterns;
    return [{ pattern, matches: modulePattern(pattern, "target_modules") }];
  }
  if (patterns.length === 1 && patterns[0] === ALL_LINEAR) return [{ pattern: ALL_LINEAR, matches: () => true }];
  return patterns.map((pattern) => ({
    pattern,
    matches: (name) => name === pattern || name.endsWith(`.${pattern}`),
  }));
}

/** Rank and scaling of each module, where rank_pattern and alpha_pattern give others (peft's LoraModel and LoraLayer). */
import { GradpoolError } from "@gradpool/errors";
import type { LoraSettings } from "./config.js";
import { isExpression, MAX_PATTERN_LENGTH, modulePattern } from "./module-pattern.js";
import type { AdaptedModule } from "./tensors.js";

/** Factor on B·A·x: alpha / r, or alpha / sqrt(r) for rsLoRA (peft's LoraLayer.scaling). */
export function loraScaling(lora: { r: number; alpha: number; useRslora: boolean }): number {
  return lora.alpha / (lora.useRslora ? Math.sqrt(lora.r) : lora.r);
}

type Patterns = Pick<LoraSettings, "r" | "alpha" | "useRslora" | "rankPattern" | "alphaPattern">;

/**
 * The modules as an adapter of these settings adapts them: with a rank of their own where the rank pattern gives
 * them one, and with DoRA's magnitudes. Errors: those of modulePattern.
 */
export function adaptedModules<M extends AdaptedModule>(
  modules: readonly M[],
  lora: Pick<LoraSettings, "rankPattern" | "useDora">,
): M[] {
  const rankOf = lookUp(lora.rankPattern, "rank_pattern");
  return modules.map((module) => {
    const r = rankOf(module.name);
    return { ...module, ...(r !== undefined && { r }), ...(lora.useDora && { useDora: true }) };
  });
}

/** Scalings of the modules, by name, whose rank or alpha is their own. Errors: those of modulePattern. */
export function ownScalings(modules: readonly AdaptedModule[], lora: Patterns): Map<string, number> {
  const alphaOf = lookUp(lora.alphaPattern, "alpha_pattern");
  const scalings = new Map<string, number>();
  for (const { name, r = lora.r } of modules) {
    const alpha = alphaOf(name) ?? lora.alpha;
    if (r !== lora.r || alpha !== lora.alpha) scalings.set(name, loraScaling({ ...lora, r, alpha }));
  }
  return scalings;
}

/**
 * The value of the first pattern that matches a module's name or its last parts (peft's get_pattern_key).
 * There may be a name for every module, but real expressions are bounded.
 */
function lookUp(patterns: Readonly<Record<string, number>>, field: string): (name: string) => number | undefined {
  let length = 0;
  const rules = Object.entries(patterns).map(([pattern, value]) => {
    if (!isExpression(pattern)) return { matches: (name: string) => endsIn(name, pattern), value };
    length += pattern.length;
    return { matches: modulePattern(`(.*\\.)?(${pattern})`, field), value };
  });
  if (length > MAX_PATTERN_LENGTH) {
    const problem = `its regular expressions have ${length} characters, more than ${MAX_PATTERN_LENGTH}`;
    throw new GradpoolError("invalid_argument", `${field}: ${problem}; name the modules instead`);
  }
  return (name) => rules.find(({ matches }) => matches(name))?.value;
}

/** Whether the name is the pattern or ends in it after a dot. */
function endsIn(name: string, pattern: string): boolean {
  const offset = name.length - pattern.length;
  if (offset < 0 || (offset > 0 && name.charAt(offset - 1) !== ".")) return false;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern.charAt(i) !== "." && pattern.charAt(i) !== name.charAt(offset + i)) return false;
  }
  return true;
}

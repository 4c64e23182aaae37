import { GradpoolError } from "@gradpool/errors";
import type { Family, Model } from "./family.js";
import { gptNeox } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { llama } from "./llama.js";
import type { WeightsHeader } from "./tensors.js";
import { traceModel } from "./trace.js";

/** Every supported architecture. Adding one is one file and one entry here. */
const FAMILIES: readonly Family[] = [gpt2, llama, gptNeox];

/**
 * Reads a model from its config.json and the header of its weights.
 * Errors: `failed_precondition` for an architecture or option that is not supported (naming it),
 * `data_loss` for weights that do not fit the config.
 */
export function openFamily(config: unknown, header: WeightsHeader): Model {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new GradpoolError("failed_precondition", "config.json is not a JSON object; get the model again");
  }
  const fields = config as Readonly<Record<string, unknown>>;
  if (fields["auto_map"] !== undefined) {
    const message =
      "config.json asks for the model's own code (auto_map), which gradpool never runs; use a standard architecture";
    throw new GradpoolError("failed_precondition", message);
  }
  const modelType = fields["model_type"];
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(String(modelType)));
  if (!family) {
    const supported = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(", ");
    throw new GradpoolError(
      "failed_precondition",
      `architecture ${JSON.stringify(modelType ?? null)} is not supported; supported: ${supported}`,
    );
  }
  const settings = family.readConfig(fields);
  const inFile = (name: string) => nameInFile(header, name);
  return traceModel({
    modelType: String(modelType),
    maxPositions: settings.positions,
    header,
    forward: (context) =>
      family.forward(settings, {
        ...context,
        weight: (name, shape) => context.weight(inFile(name), shape),
        tokenTable: (name, shape) => context.tokenTable(inFile(name), shape),
      }),
  });
}

/** Files that were saved without the head lack the first part of their names, as transformers' base models write them. */
function nameInFile({ tensors }: WeightsHeader, name: string): string {
  const withoutPrefix = name.replace(/^[^.]*\./, "");
  return !tensors.has(name) && tensors.has(withoutPrefix) ? withoutPrefix : name;
}

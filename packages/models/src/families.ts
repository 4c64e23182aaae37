import { GradpoolError } from "@gradpool/errors";
import { NamesInFile } from "./checkpoint.js";
import type { Family, Model } from "./family.js";
import { gptNeox } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { llama } from "./llama.js";
import type { WeightsHeader } from "./tensors.js";
import { traceModel } from "./trace.js";

/** Every supported architecture. Adding one is one file and one entry here. */
const FAMILIES: readonly Family[] = [gpt2, llama, gptNeox];

/**
 * What config.json alone says about a model. Errors: `failed_precondition` for an architecture that is not
 * supported, for a model's own code, and for quantized weights, naming how.
 */
export function checkConfig(config: unknown): void {
  familyOf(config);
}

/**
 * Reads a model from its config.json and the header of its weights.
 * Errors: those of checkConfig; `failed_precondition` for an option that is not supported (naming it),
 * `data_loss` for weights that do not fit the config.
 */
export function openFamily(config: unknown, header: WeightsHeader): Model {
  const { family, fields } = familyOf(config);
  const read = family.readConfig(fields);
  const names = new NamesInFile(header, family.tables, read.tied);
  const settings = { ...read, tied: names.tied };
  return traceModel({
    modelType: String(fields["model_type"]),
    ownTargets: family.ownTargets,
    maxPositions: settings.positions,
    header,
    forward: (context) =>
      family.forward(settings, {
        ...context,
        weight: (name, shape) => context.weight(names.of(name), shape),
        tokenTable: (name, shape) => context.tokenTable(names.of(name), shape),
      }),
  });
}

function familyOf(config: unknown): { family: Family; fields: Readonly<Record<string, unknown>> } {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new GradpoolError("failed_precondition", "config.json is not a JSON object; download the model again");
  }
  const fields = config as Readonly<Record<string, unknown>>;
  const modelType = fields["model_type"];
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(String(modelType)));
  if (!family) {
    if (fields["auto_map"] !== undefined) {
      const message =
        "config.json needs the model's own code (auto_map), which gradpool never runs; use a standard architecture";
      throw new GradpoolError("failed_precondition", message);
    }
    const supported = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(", ");
    throw new GradpoolError(
      "failed_precondition",
      `architecture ${JSON.stringify(modelType ?? null)} is not supported; supported: ${supported}`,
    );
  }
  refuseQuantized(fields);
  return { family, fields };
}

/** transformers' quant_method, as people write it. */
const QUANTIZATIONS: Readonly<Record<string, string>> = {
  gptq: "GPTQ",
  awq: "AWQ",
  bitsandbytes: "bitsandbytes",
  fp8: "FP8",
  fbgemm_fp8: "FBGEMM FP8",
  mxfp4: "MXFP4",
  "compressed-tensors": "compressed-tensors",
  torchao: "torchao",
  hqq: "HQQ",
  aqlm: "AQLM",
  quanto: "Quanto",
  eetq: "EETQ",
};

function refuseQuantized({ quantization_config: quantization }: Readonly<Record<string, unknown>>): void {
  if (quantization === undefined || quantization === null) return;
  const settings = quantization as Readonly<Record<string, unknown>>;
  const bits = (name: string) => settings[name] === true || settings[`_${name}`] === true;
  // Files of before quant_method existed are bitsandbytes'.
  const method = settings["quant_method"] ?? (bits("load_in_4bit") || bits("load_in_8bit") ? "bitsandbytes" : undefined);
  const known = typeof method === "string" && Object.hasOwn(QUANTIZATIONS, method) ? QUANTIZATIONS[method] : undefined;
  const name = known ?? (method === undefined ? "an unnamed method" : JSON.stringify(method)?.slice(0, 100));
  const message = `config.json: the model is quantized by ${name} (quantization_config), which gradpool does not read; use the original model, or save it with transformers after model.dequantize()`;
  throw new GradpoolError("failed_precondition", message);
}

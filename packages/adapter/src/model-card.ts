import type { LoraSettings } from "./config.js";

export interface ModelCardOptions {
  /** Folder or hub id of the base model. */
  baseModel: string;
  datasets: readonly string[];
  lora: LoraSettings;
  /** Hyper-parameters by name, in the order to show them. */
  recipe: ReadonlyMap<string, string | number | boolean>;
  /** Every optimizer step; the loss is the mean negative log likelihood per target token, in nats. */
  steps: readonly { step: number; epoch: number; loss: number; learningRate: number }[];
  /** Target tokens trained on. */
  tokens: number;
  /** The token that was added for padding; undefined when the tokenizer stayed as it was. */
  addedPadToken?: string | undefined;
}

/** Rows of the table of losses. */
const MAX_LOSS_ROWS = 12;

/** README.md of an adapter: a model card with the front matter that the Hugging Face hub reads. */
export function modelCard(options: ModelCardOptions): string {
  const { baseModel, datasets, lora, addedPadToken } = options;
  const frontMatter = [
    "---",
    `base_model: ${quoted(baseModel)}`,
    "library_name: peft",
    "pipeline_tag: text-generation",
    "tags:",
    "- lora",
    "- gradpool",
    ...(datasets.length > 0 ? ["datasets:", ...datasets.map((name) => `- ${quoted(name)}`)] : []),
    "---",
  ];
  return [
    ...frontMatter,
    "",
    "# LoRA adapter",
    "",
    `A LoRA adapter for the causal language model ${code(baseModel)}, trained with gradpool on ` +
      `${datasets.map(code).join(", ") || "unnamed data"}: rank ${lora.r}, alpha ${lora.alpha}` +
      `${variantText(lora)}, on ${lora.targetModules.map(code).join(", ")}` +
      `${patternText("rank", lora.rankPattern)}${patternText("alpha", lora.alphaPattern)}.`,
    "",
    "## Use",
    "",
    ...usage(baseModel, addedPadToken),
    "",
    "## Recipe",
    "",
    "| | |",
    "|---|---|",
    ...[...options.recipe].map(([name, value]) => `| ${cell(name)} | ${cell(String(value))} |`),
    "",
    "## Training",
    "",
    ...lossTable(options),
    "",
  ].join("\n");
}

function patternText(what: string, patterns: Readonly<Record<string, number>>): string {
  const values = Object.entries(patterns).map(([pattern, value]) => `${value} on ${code(pattern)}`);
  return values.length > 0 ? `, ${what} ${values.join(", ")}` : "";
}

function usage(baseModel: string, addedPadToken: string | undefined): string[] {
  const resize =
    addedPadToken === undefined ? [] : ["base.resize_token_embeddings(len(tokenizer))  # the added pad token"];
  const lines = [
    "```python",
    "from peft import PeftModel",
    "from transformers import AutoModelForCausalLM, AutoTokenizer",
    "",
    'adapter = "."  # this folder',
    "tokenizer = AutoTokenizer.from_pretrained(adapter)",
    `base = AutoModelForCausalLM.from_pretrained(${quoted(baseModel)})`,
    ...resize,
    "model = PeftModel.from_pretrained(base, adapter)",
    "```",
  ];
  if (addedPadToken !== undefined) {
    lines.push(
      "",
      `The tokenizer had no pad token, so ${code(addedPadToken)} was added to it. The adapter holds LoRA weights ` +
        "only: before padding with that token, the embedding needs its row, by " +
        "`model.resize_token_embeddings(len(tokenizer))` as above. Without padding the resize may be left out.",
    );
  }
  return lines;
}

function lossTable({ steps, tokens }: ModelCardOptions): string[] {
  const first = steps[0];
  const last = steps.at(-1);
  if (!first || !last) return ["No step was made: the adapter leaves the model as it is."];
  const rows = Math.min(MAX_LOSS_ROWS, steps.length);
  const chosen = Array.from({ length: rows }, (_, row) =>
    rows === 1 ? first : steps[Math.round((row * (steps.length - 1)) / (rows - 1))],
  );
  return [
    `${steps.length} steps on ${tokens} target tokens. Loss (mean negative log likelihood per token, in nats): ` +
      `${first.loss.toFixed(4)} at step ${first.step}, ${last.loss.toFixed(4)} at step ${last.step}.`,
    "",
    "| step | epoch | loss | learning rate |",
    "|---:|---:|---:|---:|",
    ...chosen.map((at) =>
      at ? `| ${at.step} | ${at.epoch} | ${at.loss.toFixed(4)} | ${Number(at.learningRate.toPrecision(4))} |` : "",
    ),
  ];
}

/** A string that YAML and Python read alike. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function code(text: string): string {
  return `\`${text.replace(/[`\r\n]/g, " ")}\``;
}

function cell(text: string): string {
  return text.replace(/[\r\n]/g, " ").replace(/\|/g, "\\|");
}

function variantText({ useRslora, useDora }: LoraSettings): string {
  const variants = [...(useRslora ? ["rsLoRA"] : []), ...(useDora ? ["DoRA"] : [])];
  return variants.length > 0 ? ` (${variants.join(", ")})` : "";
}

/** Reads tokenizer.json, the one file of Hugging Face's tokenizers. */
import { GradpoolError } from "@gradpool/errors";
import { type AddedToken, AddedVocabulary, type Definition } from "./definition.js";
import { asArray, asId, asObject, asString, damaged, type JsonObject, shown } from "./json.js";
import { BEHAVIORS, type Stage } from "./pre-tokenizer.js";

export const TOKENIZER_JSON = "tokenizer.json";

/** Errors: `data_loss` for a damaged file, `failed_precondition` for a tokenizer of another kind. */
export function readTokenizerJson(root: JsonObject): {
  definition: Omit<Definition, "addedTokens">;
  added: AddedVocabulary;
} {
  const model = asObject(TOKENIZER_JSON, "model", root["model"]);
  requireByteLevelBpe(model);
  const vocab = readVocab(TOKENIZER_JSON, asObject(TOKENIZER_JSON, "model.vocab", model["vocab"]));
  const merges = asArray(TOKENIZER_JSON, "model.merges", model["merges"]).map((merge, i) =>
    readMerge(TOKENIZER_JSON, merge, i + 1),
  );
  const added = readAddedTokens(root, vocab);
  const unk = model["unk_token"] ?? undefined;
  return {
    definition: {
      vocab,
      merges,
      ignoreMerges: model["ignore_merges"] === true,
      unkToken: unk === undefined ? undefined : asString(TOKENIZER_JSON, "model.unk_token", unk),
      fuseUnk: model["fuse_unk"] === true,
      nfc: readNormalizer(root["normalizer"]),
      stages: readStages(root["pre_tokenizer"]),
      ...readPostProcessor(root["post_processor"]),
    },
    added,
  };
}

/** Errors: `data_loss` for invalid or duplicate ids. */
export function readVocab(file: string, entries: JsonObject): Map<string, number> {
  const vocab = new Map<string, number>();
  const owners = new Map<number, string>();
  for (const [entry, value] of Object.entries(entries)) {
    const id = asId(file, `the entry ${shown(entry)}`, value);
    const owner = owners.get(id);
    if (owner !== undefined) throw damaged(file, `gives the id ${id} to both ${shown(owner)} and ${shown(entry)}`);
    owners.set(id, entry);
    vocab.set(entry, id);
  }
  if (vocab.size === 0) throw damaged(file, "has an empty vocabulary");
  return vocab;
}

/** A rule "a b" or ["a", "b"]; `number` counts from 1. */
export function readMerge(file: string, merge: unknown, number: number): [string, string] {
  const parts = typeof merge === "string" ? merge.split(" ") : merge;
  if (Array.isArray(parts) && parts.length === 2) {
    const [left, right] = parts as unknown[];
    if (typeof left === "string" && typeof right === "string") return [left, right];
  }
  throw damaged(file, `is damaged: merge ${number} is ${shown(merge)}, not two entries`);
}

/** Errors: `failed_precondition`, naming the kind. */
export function unsupportedKind(what: string): GradpoolError {
  const message = `${TOKENIZER_JSON}: ${what} is not supported; gradpool reads byte-level BPE tokenizers, such as those of GPT-2, Llama 3 and Qwen2`;
  return new GradpoolError("failed_precondition", message);
}

function requireByteLevelBpe(model: JsonObject): void {
  const type = model["type"] ?? ("merges" in model ? "BPE" : "without a type");
  if (type !== "BPE") throw unsupportedKind(`a ${String(type)} model`);
  if (model["byte_fallback"] === true) throw unsupportedKind("a SentencePiece-style BPE model (byte_fallback)");
  for (const option of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[option]) throw unsupportedKind(`a BPE model with ${option}`);
  }
  if (model["dropout"]) throw unsupportedKind("a BPE model with dropout");
}

function readNormalizer(value: unknown): boolean {
  if (value === null || value === undefined) return false;
  const normalizer = asObject(TOKENIZER_JSON, "normalizer", value);
  if (normalizer["type"] === "NFC") return true;
  if (normalizer["type"] !== "Sequence") throw unsupportedKind(`the normalizer ${shown(normalizer["type"])}`);
  return asArray(TOKENIZER_JSON, "normalizer.normalizers", normalizer["normalizers"])
    .map(readNormalizer)
    .includes(true);
}

function readStages(value: unknown): Stage[] {
  if (value === null || value === undefined) throw unsupportedKind("a tokenizer without a pre_tokenizer");
  const stages = stagesOf(asObject(TOKENIZER_JSON, "pre_tokenizer", value));
  const at = stages.findIndex(({ type }) => type === "byteLevel");
  if (at < 0) throw unsupportedKind("a pre_tokenizer without ByteLevel");
  if (at < stages.length - 1) throw unsupportedKind("a pre_tokenizer with a step after ByteLevel");
  return stages;
}

function stagesOf(step: JsonObject): Stage[] {
  switch (step["type"]) {
    case "Sequence":
      return asArray(TOKENIZER_JSON, "pre_tokenizer.pretokenizers", step["pretokenizers"]).flatMap((inner) =>
        stagesOf(asObject(TOKENIZER_JSON, "pre_tokenizer.pretokenizers", inner)),
      );
    case "ByteLevel":
      // Files of before `use_regex` existed mean it.
      return [
        { type: "byteLevel", addPrefixSpace: step["add_prefix_space"] === true, useRegex: step["use_regex"] !== false },
      ];
    case "Digits":
      return [{ type: "digits", individual: step["individual_digits"] === true }];
    case "Split":
      return [splitOf(step)];
    default:
      throw unsupportedKind(`the pre_tokenizer ${shown(step["type"])}`);
  }
}

function splitOf(step: JsonObject): Stage {
  const behavior = BEHAVIORS.find((known) => known === step["behavior"]);
  if (behavior === undefined) {
    throw unsupportedKind(`the pre_tokenizer Split with behavior ${shown(step["behavior"])}`);
  }
  const pattern = asObject(TOKENIZER_JSON, "pre_tokenizer's pattern", step["pattern"]);
  const literal = "String" in pattern;
  const source = asString(TOKENIZER_JSON, "pre_tokenizer's pattern", literal ? pattern["String"] : pattern["Regex"]);
  if (source.length === 0) throw unsupportedKind("a pre_tokenizer Split without a pattern");
  const invert = step["invert"] === true;
  if (behavior === "Isolated") return { type: "pattern", source, literal, keepGaps: true };
  if (behavior === "Removed" && invert) return { type: "pattern", source, literal, keepGaps: false };
  return { type: "pattern", source, literal, keepGaps: true, joined: { behavior, invert } };
}

function readAddedTokens(root: JsonObject, vocab: ReadonlyMap<string, number>): AddedVocabulary {
  const added = new AddedVocabulary(vocab);
  for (const value of asArray(TOKENIZER_JSON, "added_tokens", root["added_tokens"] ?? [])) {
    const { id, ...token } = readAddedToken(TOKENIZER_JSON, asObject(TOKENIZER_JSON, "an added token", value));
    if (token.content.length === 0) continue;
    const given = added.add(token);
    if (given.id !== id) {
      const problem = `is damaged: the added token ${shown(token.content)} has the id ${id}, but ${given.id} is its place`;
      throw damaged(TOKENIZER_JSON, problem);
    }
  }
  return added;
}

function readAddedToken(file: string, token: JsonObject): AddedToken {
  const flags = tokenFlags(file, token);
  return { id: asId(file, `the added token ${shown(flags.content)}`, token["id"]), ...flags };
}

/** A token's text and flags with the defaults of tokenizers' AddedToken: special ones are matched in the raw text. */
export function tokenFlags(
  file: string,
  token: JsonObject,
  isSpecial = token["special"] === true,
): Omit<AddedToken, "id"> {
  return {
    content: asString(file, "an added token's content", token["content"]),
    singleWord: token["single_word"] === true,
    lstrip: token["lstrip"] === true,
    rstrip: token["rstrip"] === true,
    normalized: (token["normalized"] ?? !isSpecial) === true,
    special: isSpecial,
  };
}

interface Template {
  prefix: number[];
  suffix: number[];
}

function readPostProcessor(value: unknown): Template {
  if (value === null || value === undefined) return { prefix: [], suffix: [] };
  const processor = asObject(TOKENIZER_JSON, "post_processor", value);
  switch (processor["type"]) {
    case "ByteLevel":
      return { prefix: [], suffix: [] };
    case "Sequence": {
      const list = asArray(TOKENIZER_JSON, "post_processor.processors", processor["processors"]).map(readPostProcessor);
      const adding = list.filter(({ prefix, suffix }) => prefix.length + suffix.length > 0);
      // A second one gets what the first put around the text as texts of their own, and uses its template for pairs.
      if (adding.length > 1) throw unsupportedKind(`a post_processor of ${adding.length} that add tokens`);
      return adding[0] ?? { prefix: [], suffix: [] };
    }
    case "RobertaProcessing":
    case "BertProcessing":
      return { prefix: [pairId(processor["cls"])], suffix: [pairId(processor["sep"])] };
    case "TemplateProcessing":
      return readTemplate(processor);
    default:
      throw unsupportedKind(`the post_processor ${shown(processor["type"])}`);
  }
}

function pairId(value: unknown): number {
  return asId(TOKENIZER_JSON, "post_processor", asArray(TOKENIZER_JSON, "post_processor", value)[1]);
}

function readTemplate(processor: JsonObject): Template {
  const specials = asObject(TOKENIZER_JSON, "post_processor.special_tokens", processor["special_tokens"] ?? {});
  const template: Template = { prefix: [], suffix: [] };
  let side = template.prefix;
  let sequences = 0;
  for (const value of asArray(TOKENIZER_JSON, "post_processor.single", processor["single"])) {
    const part = asObject(TOKENIZER_JSON, "post_processor.single", value);
    if ("Sequence" in part) {
      sequences++;
      side = template.suffix;
      continue;
    }
    const name = asString(
      TOKENIZER_JSON,
      "post_processor",
      asObject(TOKENIZER_JSON, "post_processor", part["SpecialToken"])["id"],
    );
    const special = asObject(TOKENIZER_JSON, `post_processor.special_tokens.${name}`, specials[name]);
    for (const id of asArray(TOKENIZER_JSON, "post_processor.special_tokens", special["ids"])) {
      side.push(asId(TOKENIZER_JSON, `the template's ${shown(name)}`, id));
    }
  }
  if (sequences !== 1) throw unsupportedKind(`a post_processor with ${sequences} texts in its template`);
  return template;
}

/** Which tokens end a text and pad a row. */
import { GradpoolError } from "@gradpool/errors";
import { type AddedVocabulary, plainSpecial } from "./definition.js";
import { asObject, type JsonObject, shown } from "./json.js";
import type { TokenizerClass } from "./tokenizer-class.js";

/** The settings of a model folder, each empty when its file is missing. */
export interface FolderConfig {
  /** tokenizer_config.json */
  tokenizer: JsonObject;
  /** The effective one: see effectiveSettings. */
  settings: JsonObject;
  /** config.json */
  model: JsonObject;
  tokenizerClass: TokenizerClass | undefined;
}

/** The token that is added where a tokenizer has none to pad with. */
export const ADDED_PAD_TOKEN = "<|pad|>";

export const SPECIAL_ROLES = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];

/** Errors: `failed_precondition` when no file names an eos token that exists. */
export function findEos(
  config: FolderConfig,
  added: AddedVocabulary,
  entries: ReadonlyMap<string, number>,
): { id: number; token: string } {
  const token = configuredToken(config, "eos_token");
  const ofClass = config.tokenizerClass?.roles["eos_token"];
  for (const name of [token, ofClass]) {
    const id = name === undefined ? undefined : added.idOf(name);
    if (name !== undefined && id !== undefined) return { id, token: name };
    if (token === undefined) continue;
    const message = `the tokenizer's eos_token ${shown(token)} is not in its vocabulary; correct tokenizer_config.json`;
    throw new GradpoolError("failed_precondition", message);
  }
  const configured = config.model["eos_token_id"];
  const id: unknown = Array.isArray(configured) ? configured[0] : configured;
  if (typeof id === "number") {
    const found = added.tokens.find((candidate) => candidate.id === id)?.content ?? nameOf(entries, id);
    if (found !== undefined) return { id, token: found };
    const message = `config.json's eos_token_id ${id} is not in the tokenizer's vocabulary; correct it, or name an eos_token in tokenizer_config.json`;
    throw new GradpoolError("failed_precondition", message);
  }
  const message =
    "the tokenizer has no eos token; name one in tokenizer_config.json (eos_token) or config.json (eos_token_id)";
  throw new GradpoolError("failed_precondition", message);
}

/**
 * The pad token: the tokenizer's own; else `wanted`, which has to exist; else one is added.
 * Errors: `invalid_argument` when `wanted` does not exist, naming similar ones.
 */
export function choosePad(
  config: FolderConfig,
  added: AddedVocabulary,
  entries: ReadonlyMap<string, number>,
  wanted: string,
): { id: number; token: string; isNew: boolean; configured: boolean } {
  const configured = configuredToken(config, "pad_token");
  const ofClass = config.tokenizerClass?.roles["pad_token"];
  const own = configured ?? (ofClass !== undefined && added.idOf(ofClass) !== undefined ? ofClass : undefined);
  const name = own ?? (wanted || ADDED_PAD_TOKEN);
  const id = added.idOf(name);
  if (id !== undefined) return { id, token: name, isNew: false, configured: configured !== undefined };
  if (own === undefined && wanted) {
    const near = nearest(wanted, [...added.tokens.map(({ content }) => content), ...entries.keys()]);
    const message = `pad_token: the tokenizer has no token ${shown(wanted)}; similar ones are ${near.map(shown).join(", ")}; name one of its tokens, or none to add ${ADDED_PAD_TOKEN}`;
    throw new GradpoolError("invalid_argument", message);
  }
  const token = added.add(plainSpecial(name));
  const owner = nameOf(entries, token.id);
  if (owner !== undefined) {
    const message = `the pad token cannot be added: its id ${token.id} belongs to ${shown(owner)}; name an existing token with pad_token`;
    throw new GradpoolError("failed_precondition", message);
  }
  return { id: token.id, token: name, isNew: true, configured: own !== undefined };
}

/** A token's text, given as text or as an object with flags. */
export function configuredToken({ settings }: FolderConfig, role: string): string | undefined {
  const value = settings[role];
  if (value === undefined || value === null) return undefined;
  const content = typeof value === "string" ? value : asObject("tokenizer_config.json", role, value)["content"];
  return typeof content === "string" && content.length > 0 ? content : undefined;
}

function nameOf(entries: ReadonlyMap<string, number>, id: number): string | undefined {
  for (const [entry, entryId] of entries) if (entryId === id) return entry;
  return undefined;
}

function nearest(wanted: string, names: string[]): string[] {
  const limit = wanted.length + 3;
  const ranked = [...new Set(names)]
    .filter((name) => Math.abs(name.length - wanted.length) <= 3 || name.startsWith("<"))
    .map((name) => ({ name, distance: editDistance(wanted, name.slice(0, limit)) }));
  return ranked
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/**
 * The tokens that a folder's configuration adds to those of its vocabulary's file, and the flags that it gives them: as
 * transformers 5.24's PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__ do.
 */
import { type AddedToken, type AddedVocabulary, plainSpecial } from "./definition.js";
import { asId, asObject, damaged, type JsonObject, parseObject } from "./json.js";
import { type FolderConfig, SPECIAL_ROLES } from "./special-tokens.js";
import { tokenFlags, TOKENIZER_JSON } from "./tokenizer-json.js";

const TOKENIZER_CONFIG = "tokenizer_config.json";
const SPECIAL_TOKENS_MAP = "special_tokens_map.json";
const ADDED_TOKENS = "added_tokens.json";
const DECODER = "added_tokens_decoder";
const EXTRA = "extra_special_tokens";

type NewToken = Omit<AddedToken, "id">;

/**
 * The effective tokenizer_config.json: with special_tokens_map.json over it, unless it lists its tokens itself; the older
 * name additional_special_tokens means extra_special_tokens.
 */
export function effectiveSettings(tokenizer: JsonObject, specialTokensMap: JsonObject): JsonObject {
  const settings = renamed(tokenizer);
  if (DECODER in settings) return settings;
  const map = renamed(specialTokensMap);
  for (const [key, value] of Object.entries(map)) {
    if (key === EXTRA && Array.isArray(value)) {
      settings[EXTRA] = [...(Array.isArray(settings[EXTRA]) ? (settings[EXTRA] as unknown[]) : []), ...value];
    } else if (typeof value === "object" && value !== null && key !== EXTRA)
      settings[key] = { ...value, special: true };
    else settings[key] = value;
  }
  return settings;
}

function renamed(settings: JsonObject): JsonObject {
  const { additional_special_tokens: additional, ...others } = settings;
  const extra = others[EXTRA];
  const isEmpty = extra === undefined || extra === null || Object.keys(extra).length === 0;
  return additional === undefined || !isEmpty ? others : { ...others, [EXTRA]: additional };
}

/** Adds them. Errors: `data_loss` for tokens of another form. */
export function addConfiguredTokens(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
  added: AddedVocabulary,
): void {
  const present = new Map(added.tokens.map((token) => [token.content, token]));
  const listed = listedTokens(files, config, added);
  const byContent = new Map(listed.map((token) => [token.content, token]));
  const specials = specialTokens(config, added, byContent);
  const toAdd = listed.filter((token) => !hasSameFlags(present.get(token.content), token));
  const known = new Set([...present.keys(), ...toAdd.map(({ content }) => content)]);
  for (const { token } of specials) {
    if (known.has(token.content)) continue;
    known.add(token.content);
    toAdd.push(token);
  }
  const named = new Set(specials.filter(({ isNamed }) => isNamed).map(({ token }) => token.content));
  for (const token of toAdd) added.add({ ...token, special: token.special || named.has(token.content) });
  for (const { id: _, ...token } of added.tokens) {
    if (!token.special && named.has(token.content)) added.add({ ...token, special: true });
  }
  if (!config.tokenizerClass?.plainSpecials) return;
  for (const { token } of specials) added.add(plainSpecial(token.content));
}

/** By id: added_tokens_decoder; where there is none, added_tokens.json and tokenizer.json's own list. */
function listedTokens(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
  added: AddedVocabulary,
): NewToken[] {
  const { settings } = config;
  const tokens = new Map<number, NewToken>();
  if (DECODER in settings) {
    for (const [id, token] of Object.entries(asObject(TOKENIZER_CONFIG, DECODER, settings[DECODER]))) {
      tokens.set(
        asId(TOKENIZER_CONFIG, `token ${id}`, Number(id)),
        tokenFlags(TOKENIZER_CONFIG, asObject(TOKENIZER_CONFIG, `token ${id}`, token)),
      );
    }
  } else {
    const bytes = files.get(ADDED_TOKENS);
    const specials = new Set(specialTokens(config, added, new Map()).map(({ token }) => token.content));
    for (const [content, id] of Object.entries(bytes ? parseObject(ADDED_TOKENS, bytes) : {})) {
      const special = specials.has(content);
      const token = tokenFlags(ADDED_TOKENS, { content, special, normalized: !special });
      tokens.set(asId(ADDED_TOKENS, `the added token ${JSON.stringify(content)}`, id), token);
    }
    for (const { id, ...token } of files.has(TOKENIZER_JSON) ? added.tokens : []) tokens.set(id, token);
  }
  return [...tokens]
    .sort(([a], [b]) => a - b)
    .map(([, token]) => token)
    .filter(({ content }) => content.length > 0);
}

interface SpecialToken {
  token: NewToken;
  /** By a role of its own, such as "bos_token" or "image_token"; not by a list. */
  isNamed: boolean;
}

/** The tokens that have a role, and those of extra_special_tokens, in transformers' order. */
function specialTokens(
  { settings, tokenizerClass }: FolderConfig,
  added: AddedVocabulary,
  listed: ReadonlyMap<string, NewToken>,
): SpecialToken[] {
  const found: SpecialToken[] = [];
  const take = (value: unknown, where: string, isNamed: boolean) => {
    if (value === undefined || value === null || value === "") return;
    const token = typeof value === "string" ? plainSpecial(value) : specialOf(value, where);
    if (token.content.length > 0) found.push({ token: (isNamed && listed.get(token.content)) || token, isNamed });
  };
  for (const role of SPECIAL_ROLES) {
    const content = settings[role] ?? ownRole(tokenizerClass?.roles[role], added);
    // Without an entry, an eos token is a mistake that is reported, not a new token that no text ever had.
    const isNew = typeof content === "string" && added.idOf(content) === undefined && !listed.has(content);
    if (!(role === "eos_token" && isNew)) take(content, role, true);
  }
  const extra = settings[EXTRA];
  const others = Object.entries(settings).filter(
    ([key, value]) => key.endsWith("_token") && !SPECIAL_ROLES.includes(key) && typeof value === "string",
  );
  for (const [key, value] of others) take(value, key, true);
  if (Array.isArray(extra)) for (const value of extra) take(value, EXTRA, false);
  else if (typeof extra === "object" && extra !== null) {
    for (const [key, value] of Object.entries(extra)) take(value, `${EXTRA}.${key}`, true);
  } else if (extra !== undefined && extra !== null) {
    throw damaged(TOKENIZER_CONFIG, `is damaged: ${EXTRA} is neither a list nor an object`);
  }
  return found;
}

/** A class's default, where the vocabulary has it: otherwise no text has it, and no row of the embedding. */
const ownRole = (content: string | undefined, added: AddedVocabulary) =>
  content !== undefined && added.idOf(content) !== undefined ? content : undefined;

function specialOf(value: unknown, where: string): NewToken {
  const file = `${TOKENIZER_CONFIG} or ${SPECIAL_TOKENS_MAP}`;
  return { ...tokenFlags(file, asObject(file, where, value), true), special: true };
}

function hasSameFlags(a: NewToken | undefined, b: NewToken): boolean {
  const flags = ["singleWord", "lstrip", "rstrip", "normalized", "special"] as const;
  return a !== undefined && flags.every((flag) => a[flag] === b[flag]);
}

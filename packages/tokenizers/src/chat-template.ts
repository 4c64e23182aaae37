/** Where a model folder keeps its chat template, which is read here and filled elsewhere. */
import { damaged } from "./json.js";
import { configuredToken, type FolderConfig, SPECIAL_ROLES } from "./special-tokens.js";

export const CHAT_TEMPLATE_FILE = "chat_template.jinja";
/** Where transformers 5 saves a named template; "tool_use" is the only name that has a meaning. */
export const TOOL_TEMPLATE_FILE = "additional_chat_templates/tool_use.jinja";

export interface ChatTemplateSource {
  /** Jinja. */
  template: string;
  /** For chats with tools, where another is named for them. */
  toolTemplate?: string | undefined;
  /** Texts of the special tokens that it may name, by role. */
  specialTokens: Record<string, string>;
}

/**
 * chat_template.jinja and the one for tools beside it, else tokenizer_config.json's chat_template: a text, or named ones, of which "default" is taken, and
 * "tool_use" for chats with tools, as by transformers' get_chat_template. Errors: `data_loss` for one of another form.
 */
export function readChatTemplate(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
): ChatTemplateSource | undefined {
  const textOf = (name: string) =>
    files.has(name) ? Buffer.from(files.get(name) as Uint8Array).toString("utf8") : undefined;
  const named = files.has(CHAT_TEMPLATE_FILE)
    ? { default: textOf(CHAT_TEMPLATE_FILE), tool_use: textOf(TOOL_TEMPLATE_FILE) }
    : configured(config.tokenizer["chat_template"]);
  const template = named["default"];
  if (template === undefined) return undefined;
  const toolTemplate = named["tool_use"];
  return { template, ...(toolTemplate !== undefined && { toolTemplate }), specialTokens: specialTokens(config) };
}

/** As transformers' special_tokens_map: the roles, and a model's own, such as image_token. */
function specialTokens(config: FolderConfig): Record<string, string> {
  const extra = config.settings["extra_special_tokens"];
  const own = typeof extra === "object" && extra !== null && !Array.isArray(extra) ? Object.entries(extra) : [];
  const texts = own.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  const roles = SPECIAL_ROLES.map((role) => [role, configuredToken(config, role)] as const);
  return Object.fromEntries([...roles.filter(([, token]) => token !== undefined), ...texts]) as Record<string, string>;
}

/** Templates by name. */
function configured(value: unknown): Partial<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (typeof value === "string") return { default: value };
  if (typeof value !== "object") {
    throw damaged("tokenizer_config.json", "has a chat_template that is neither text nor list nor object");
  }
  const entries = Array.isArray(value)
    ? (value as { name?: unknown; template?: unknown }[]).map((entry) => [entry?.name, entry?.template] as const)
    : Object.entries(value);
  return Object.fromEntries(entries.filter(([, template]) => typeof template === "string")) as Record<string, string>;
}

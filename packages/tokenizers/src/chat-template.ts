/** Where a model folder keeps its chat template, which is read here and filled elsewhere. */
import { damaged } from "./json.js";
import { configuredToken, type FolderConfig, SPECIAL_ROLES } from "./special-tokens.js";

export const CHAT_TEMPLATE_FILE = "chat_template.jinja";

export interface ChatTemplateSource {
  /** Jinja. */
  template: string;
  /** Texts of the special tokens that it may name, by role. */
  specialTokens: Record<string, string>;
}

/**
 * chat_template.jinja, else tokenizer_config.json's chat_template: a text, or a list of named ones, of which
 * "default" is taken. Errors: `data_loss` for one of another form.
 */
export function readChatTemplate(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
): ChatTemplateSource | undefined {
  const file = files.get(CHAT_TEMPLATE_FILE);
  const template = file ? Buffer.from(file).toString("utf8") : configured(config.tokenizer["chat_template"]);
  if (template === undefined) return undefined;
  const tokens = SPECIAL_ROLES.map((role) => [role, configuredToken(config, role)] as const);
  return {
    template,
    specialTokens: Object.fromEntries(tokens.filter((entry) => entry[1] !== undefined)) as Record<string, string>,
  };
}

function configured(value: unknown): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  if (!Array.isArray(value))
    throw damaged("tokenizer_config.json", "has a chat_template that is neither text nor list");
  const named = value as { name?: unknown; template?: unknown }[];
  const found = named.find((entry) => entry?.name === "default")?.template;
  return typeof found === "string" ? found : undefined;
}

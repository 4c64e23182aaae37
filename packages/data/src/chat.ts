/** Chats as data sets hold them, in TRL's and transformers' conventions. */
import { parseExactJson } from "./exact-json.js";
import { MAX_CHAT_MESSAGES } from "./limits.js";
import { kindOf, refused } from "./refusals.js";

/** A message with every key that its row has; templates read tool_calls, reasoning_content, name and others. */
export type ChatMessage = Readonly<Record<string, unknown>> & { readonly role: string };

export interface Chat {
  messages: ChatMessage[];
  /** How many messages the prompt has, where the row names prompt and completion: all that comes after counts. */
  promptMessages?: number;
  /** JSON schemas of the functions that the model may call. */
  tools?: unknown[];
  documents?: unknown[];
  /** More variables for the template, such as enable_thinking. */
  templateKwargs?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplateSource {
  /** Jinja. */
  template: string;
  /** The one for chats with tools, where the tokenizer names one "tool_use". */
  toolTemplate?: string | undefined;
  /** Texts of the tokenizer's special tokens by their roles, such as bos_token. */
  specialTokens: Readonly<Record<string, string>>;
}

/** Which of the assistant's turns count in the loss. */
export type TrainOn = "all" | "last";

/** Columns that are read beside a chat where a row has them, as TRL reads them. */
export const CHAT_COLUMNS = ["tools", "documents", "chat_template_kwargs"] as const;

/** A chat as JSON has it; `name` is what it is called in messages. Errors: `invalid_argument`, beginning with `where`. */
export function messagesOf(value: unknown, name: string, where: string): ChatMessage[] {
  if (!Array.isArray(value)) {
    throw refused(where, `${name} holds ${kindOf(value)}; it must hold a list of messages with role and content`);
  }
  if (value.length === 0) throw refused(where, `${name} has no messages; remove the row`);
  if (value.length > MAX_CHAT_MESSAGES) {
    throw refused(
      where,
      `${name} has ${value.length} messages, and at most ${MAX_CHAT_MESSAGES} are allowed; split the chat`,
    );
  }
  return value.map((message: unknown, index) => {
    const given = isObject(message) ? withoutNulls(renamed(message)) : {};
    if (typeof given["role"] === "string" && Object.keys(given).length > 1) return given as ChatMessage;
    throw refused(where, `message ${index + 1} of ${name} needs a role and a content, both texts; correct the row`);
  });
}

/** What a row has beside its messages. Errors: `invalid_argument`, beginning with `where`. */
export function chatOptionsOf(row: Readonly<Record<string, unknown>>, where: string): Omit<Chat, "messages"> {
  const kwargs = Object.hasOwn(row, "chat_template_kwargs") ? row["chat_template_kwargs"] : undefined;
  const templateKwargs = kwargs ?? {};
  if (!isObject(templateKwargs)) {
    throw refused(where, `column "chat_template_kwargs" holds ${kindOf(kwargs)}; it must hold an object`);
  }
  // apply_chat_template's own arguments; those in chat_template_kwargs win, as in TRL.
  const { chat_template: template, tools, documents, ...variables } = templateKwargs;
  if (template !== undefined) {
    throw refused(
      where,
      `chat_template_kwargs has a chat_template; put it into the model folder as chat_template.jinja`,
    );
  }
  const given = {
    tools: listOf(tools ?? row["tools"], "tools", where),
    documents: listOf(documents ?? row["documents"], "documents", where),
    templateKwargs: Object.keys(variables).length > 0 ? variables : undefined,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A list of objects, or JSON of one; undefined where there is none. */
function listOf(value: unknown, name: string, where: string): unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  const list = typeof value === "string" ? parsed(value, name, where) : value;
  if (list === null) return undefined;
  if (Array.isArray(list) && list.every(isObject)) return list;
  throw refused(where, `column "${name}" holds ${kindOf(list)}; it must hold a list of objects, or JSON of one`);
}

function parsed(json: string, name: string, where: string): unknown {
  try {
    return parseExactJson(json);
  } catch (error) {
    throw refused(
      where,
      `column "${name}" holds a text that is not JSON; give a list of objects, or JSON of one`,
      error,
    );
  }
}

/** As apply_chat_template: null beside tool calls counts as no content. */
function withoutNulls(message: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null && value !== undefined));
}

/** "from" and "value", which older data sets have, as TRL's maybe_convert_to_chatml renames them. */
function renamed(message: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (!("from" in message && "value" in message)) return message;
  const { from, value, ...others } = message;
  return { role: from, content: value, ...others };
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

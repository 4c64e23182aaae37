/** From a structured row to what is trained on. */
import { GradpoolError } from "@gradpool/errors";
import { MAX_CHAT_MESSAGES } from "./limits.js";

/** Which columns of structured files are used. */
export type Columns =
  | { kind: "text"; text: string }
  | { kind: "completion"; prompt: string; completion: string }
  | { kind: "messages"; messages: string };

export interface ChatMessage {
  role: string;
  content: string;
}

/** What a row trains on: a text of which the first `promptLength` code units do not count in the loss, or a chat. */
export type RowContent = { text: string; promptLength: number } | { messages: ChatMessage[] };

/** Column names that a message lists at most. */
const LISTED_COLUMNS = 20;

export function columnNames(columns: Columns): string[] {
  switch (columns.kind) {
    case "text":
      return [columns.text];
    case "completion":
      return [columns.prompt, columns.completion];
    case "messages":
      return [columns.messages];
  }
}

/** The content of a row with columns. Errors: `invalid_argument`, beginning with `where` ("file:line"). */
export function contentOfRow(row: object, columns: Columns, where: string): RowContent {
  switch (columns.kind) {
    case "text":
      return { text: textIn(row, columns.text, "text_column", where), promptLength: 0 };
    case "completion": {
      const prompt = textIn(row, columns.prompt, "prompt_column", where);
      const completion = textIn(row, columns.completion, "completion_column", where);
      return { text: prompt + completion, promptLength: prompt.length };
    }
    case "messages":
      return { messages: messagesIn(row, columns.messages, where) };
  }
}

/** The content of a row that is a text and nothing else. Errors: `invalid_argument` when columns are asked for. */
export function contentOfText(text: string, columns: Columns, name: string): RowContent {
  if (columns.kind === "text") return { text, promptLength: 0 };
  const wanted = columnNames(columns).map((column) => JSON.stringify(column));
  throw refused(name, `plain text has no columns ${wanted.join(" and ")}; give structured files, or unset these flags`);
}

/** About how much memory a content takes, in bytes. */
export function contentBytes(content: RowContent): number {
  if ("text" in content) return Buffer.byteLength(content.text);
  return content.messages.reduce((sum, { content: text }) => sum + Buffer.byteLength(text) + 64, 0);
}

export function refused(where: string, what: string, cause?: unknown): GradpoolError {
  return new GradpoolError("invalid_argument", `${where}: ${what}`, { cause });
}

export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}

function textIn(row: object, column: string, flag: string, where: string): string {
  const value = valueIn(row, column, flag, where);
  if (typeof value === "string") return value;
  throw refused(where, `column ${JSON.stringify(column)} holds ${kindOf(value)}, not a text; ${columnsOf(row, flag)}`);
}

function valueIn(row: object, column: string, flag: string, where: string): unknown {
  if (Object.hasOwn(row, column)) return (row as Record<string, unknown>)[column];
  throw refused(where, `no column ${JSON.stringify(column)}; ${columnsOf(row, flag)}`);
}

function messagesIn(row: object, column: string, where: string): ChatMessage[] {
  return messagesOf(valueIn(row, column, "messages_column", where), `column ${JSON.stringify(column)}`, where);
}

/** A chat as JSON has it; `name` is what it is called in messages. Errors: `invalid_argument`, beginning with `where`. */
export function messagesOf(value: unknown, name: string, where: string): ChatMessage[] {
  if (!Array.isArray(value)) {
    throw refused(where, `${name} holds ${kindOf(value)}; it must hold a list of messages with role and content`);
  }
  if (value.length > MAX_CHAT_MESSAGES) {
    throw refused(where, `${name} has ${value.length} messages, above ${MAX_CHAT_MESSAGES}; split the chat`);
  }
  return value.map((message: unknown, index) => {
    const { role, content } = (message ?? {}) as Record<string, unknown>;
    if (typeof role === "string" && typeof content === "string") return { role, content };
    throw refused(where, `message ${index + 1} of ${name} needs a role and a content, both texts; correct the row`);
  });
}

function columnsOf(row: object, flag: string): string {
  const names = Object.keys(row);
  if (names.length === 0) return "the row has no columns";
  const listed = names.slice(0, LISTED_COLUMNS).map((name) => JSON.stringify(name));
  const more = names.length > LISTED_COLUMNS ? ` and ${names.length - LISTED_COLUMNS} more` : "";
  return `the row has ${listed.join(", ")}${more}: choose one with ${flag}`;
}

/** From a structured row to what is trained on. */
import { CHAT_COLUMNS, chatOptionsOf, messagesOf, type Chat } from "./chat.js";
import { parseExactJson, writeExactJson } from "./exact-json.js";
import { kindOf, refused } from "./refusals.js";

/** Which columns of structured files are used. */
export type Columns =
  | { kind: "text"; text: string }
  | { kind: "completion"; prompt: string; completion: string }
  | { kind: "messages"; messages: string };

/** What a row trains on: a text of which the first `promptLength` code units do not count in the loss, or a chat. */
export type RowContent = { text: string; promptLength: number } | Chat;

/** Most column names in a message. */
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

/** Columns that are read where a file has them. */
export function optionalColumns(columns: Columns): readonly string[] {
  return columns.kind === "text" ? [] : CHAT_COLUMNS;
}

/** The content of a row with columns. Errors: `invalid_argument`, beginning with `where` ("file:line"). */
export function contentOfRow(row: object, columns: Columns, where: string): RowContent {
  switch (columns.kind) {
    case "text":
      return { text: textIn(row, columns.text, "text_column", where), promptLength: 0 };
    case "completion": {
      const chat = promptedChat(row, columns, where);
      if (chat) return chat;
      const prompt = textIn(row, columns.prompt, "prompt_column", where);
      const completion = textIn(row, columns.completion, "completion_column", where);
      return { text: prompt + completion, promptLength: prompt.length };
    }
    case "messages":
      return {
        messages: messagesIn(row, columns.messages, "messages_column", where),
        ...chatOptionsOf(row as Record<string, unknown>, where),
      };
  }
}

/** The content of a row that is only a text. Errors: `invalid_argument` when columns are asked for. */
export function contentOfText(text: string, columns: Columns, name: string): RowContent {
  if (columns.kind === "text") return { text, promptLength: 0 };
  const wanted = columnNames(columns).map((column) => JSON.stringify(column));
  throw refused(
    name,
    `plain text has no columns ${wanted.join(" and ")}; give structured files, or leave out these flags`,
  );
}

/** About how much memory a content takes, in bytes. */
export function contentBytes(content: RowContent): number {
  return Buffer.byteLength("text" in content ? content.text : writeContent(content));
}

/** A content as JSON, and back. */
export function writeContent(content: RowContent): string {
  return writeExactJson(content);
}

export function readContent(json: string): RowContent {
  return parseExactJson(json) as RowContent;
}

/** A prompt and a completion that are lists of messages, as TRL's conversational prompt-completion rows. */
function promptedChat(row: object, columns: Extract<Columns, { kind: "completion" }>, where: string): Chat | undefined {
  const prompt = valueIn(row, columns.prompt, "prompt_column", where);
  const completion = valueIn(row, columns.completion, "completion_column", where);
  if (!Array.isArray(prompt) || !Array.isArray(completion)) return undefined;
  const before = messagesIn(row, columns.prompt, "prompt_column", where);
  const after = messagesIn(row, columns.completion, "completion_column", where);
  const options = chatOptionsOf(row as Record<string, unknown>, where);
  return { messages: [...before, ...after], promptMessages: before.length, ...options };
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

function messagesIn(row: object, column: string, flag: string, where: string) {
  return messagesOf(valueIn(row, column, flag, where), `column ${JSON.stringify(column)}`, where);
}

function columnsOf(row: object, flag: string): string {
  const names = Object.keys(row);
  if (names.length === 0) return "the row has no columns";
  const listed = names.slice(0, LISTED_COLUMNS).map((name) => JSON.stringify(name));
  const more = names.length > LISTED_COLUMNS ? ` and ${names.length - LISTED_COLUMNS} more` : "";
  return `the row has ${listed.join(", ")}${more}: choose one with ${flag}`;
}

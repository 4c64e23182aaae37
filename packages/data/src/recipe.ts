import { GradpoolError } from "@gradpool/errors";
import type { ChatTemplateSource } from "./chat-template.js";
import { MAX_MICRO_BATCH_TOKENS, MAX_SHUFFLE_ROWS } from "./limits.js";
import type { Columns } from "./row-content.js";

/** How rows become micro-batches. */
export interface DataRecipe {
  /** Column of the text in structured files. */
  textColumn: string;
  /** With completionColumn: train on prompt + completion, counting the completion alone. Empty: unset. */
  promptColumn?: string;
  completionColumn?: string;
  /** Column of chats, lists of role and content; the assistant's turns alone count. Empty: unset. */
  messagesColumn?: string;
  /** Rows are cut to so many tokens; with packing, the length of a block. */
  maxLength: number;
  /** Rows (with packing, blocks) per micro-batch. */
  batchSize: number;
  /**
   * Append the end-of-sequence token to each row before cutting, except to chats, whose template ends them. With
   * packing it always splits the rows.
   */
  appendEos: boolean;
  /** Join rows into full blocks. */
  packing: boolean;
  /** Rows shuffled together; 0 keeps the order. */
  shuffleBuffer: number;
  seed: number;
  /** Use at most this many rows of an epoch, counted before packing; 0: all. */
  maxRows: number;
}

/** Turns texts into token ids. */
export interface Encoder {
  /** Id of the end-of-sequence token. */
  eosId: number;
  /** Id of the pad token. */
  padId: number;
  /** Undefined when the tokenizer has none. */
  chatTemplate?: ChatTemplateSource | undefined;
  /** The ids of each text, each cut to `maxTokens` (0: whole). */
  encode(
    texts: readonly string[],
    maxTokens: number,
    signal: AbortSignal,
    options: EncodeOptions,
  ): Promise<Int32Array[]>;
}

export interface EncodeOptions {
  /** Put the tokenizer's own ids before and behind each text (transformers' add_special_tokens). */
  specialTokens: boolean;
}

/** Errors: `invalid_argument`, naming field and bound. */
export function checkDataRecipe(recipe: DataRecipe): void {
  const require = (holds: boolean, field: string, value: unknown, bound: string) => {
    if (holds) return;
    throw new GradpoolError("invalid_argument", `${field} is ${String(value)}, but must be ${bound}`);
  };
  const {
    textColumn,
    promptColumn = "",
    completionColumn = "",
    messagesColumn = "",
    maxLength,
    batchSize,
    shuffleBuffer,
    packing,
  } = recipe;
  require(textColumn !== "", "text_column", '""', "the name of a column, such as content");
  const advice = "given together with prompt_column, or not at all";
  require((promptColumn === "") === (completionColumn === ""), "completion_column", `"${completionColumn}"`, advice);
  require(messagesColumn === "" ||
    promptColumn === "", "messages_column", `"${messagesColumn}"`, "unset with prompt_column");
  require(maxLength >= 1, "max_length", maxLength, "at least 1");
  require(batchSize >= 1, "batch_size", batchSize, "at least 1");
  require(shuffleBuffer <= MAX_SHUFFLE_ROWS, "shuffle_buffer", shuffleBuffer, `at most ${MAX_SHUFFLE_ROWS}`);
  const longest = MAX_MICRO_BATCH_TOKENS - 1;
  require(!packing || maxLength <= longest, "max_length", maxLength, `at most ${longest} with packing`);
}

/** How many rows of an epoch are used. */
export function rowLimit(recipe: DataRecipe): number {
  return recipe.maxRows === 0 ? Infinity : recipe.maxRows;
}

/** The columns that a recipe asks for. */
export function columnsOf({ textColumn, promptColumn, completionColumn, messagesColumn }: DataRecipe): Columns {
  if (messagesColumn) return { kind: "messages", messages: messagesColumn };
  if (promptColumn && completionColumn) {
    return { kind: "completion", prompt: promptColumn, completion: completionColumn };
  }
  return { kind: "text", text: textColumn };
}

import { createHash } from "node:crypto";
import type { Checked, CheckedRecipe } from "@gradpool/recipe";
import type { ChatTemplateSource, TrainOn } from "./chat.js";
import type { RowOptions } from "./dataset.js";
import { writeContent, type Columns, type RowContent } from "./row-content.js";

/** The fields of a recipe that decide how rows become micro-batches. */
export type DataRecipe = Checked<
  Pick<
    CheckedRecipe,
    | "textColumn"
    | "promptColumn"
    | "completionColumn"
    | "messagesColumn"
    | "trainOn"
    | "chatDate"
    | "maxLength"
    | "batchSize"
    | "appendEos"
    | "packing"
    | "packingStrategy"
    | "shuffleBuffer"
    | "seed"
    | "maxSamples"
    | "evalFraction"
  >
> & {
  /** Use at most this many rows of an epoch, counted before packing; 0: all. */
  maxRows: number;
  /** Of the rows, those that eval_fraction holds out, instead of the others. */
  heldOut?: boolean;
};

/** Turns texts into token ids. */
export interface Encoder {
  /** Id of the end-of-sequence token. */
  eosId: number;
  /** Id of the pad token. */
  padId: number;
  /** Where a row that is too long loses tokens; "right" by default. */
  truncationSide?: "left" | "right";
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
  /** Put the tokenizer's own ids before and after each text (transformers' add_special_tokens). */
  specialTokens: boolean;
}

/** How many rows of an epoch are used. */
export function rowLimit(recipe: DataRecipe): number {
  return Math.min(recipe.maxRows || Infinity, recipe.maxSamples || Infinity);
}

/** How rows are joined into blocks: not at all, as one text that is cut, or as whole documents (best-fit.ts). */
export function packingOf({ packing, packingStrategy }: DataRecipe): "none" | "wrapped" | "bfd" {
  if (!packing) return "none";
  return packingStrategy === "bfd" ? "bfd" : "wrapped";
}

/** How a recipe renders chats. */
export interface ChatOptions {
  trainOn: TrainOn;
  /** What templates print as today. */
  now: Date;
}

export function chatOptions({ trainOn, chatDate }: DataRecipe): ChatOptions {
  return { trainOn: trainOn === "last" ? "last" : "all", now: chatDate ? new Date(`${chatDate}T12:00`) : new Date() };
}

/** How a recipe has rows read. */
export function readOptions(recipe: DataRecipe, signal: AbortSignal): RowOptions {
  return { columns: columnsOf(recipe), signal, keeps: rowFilter(recipe) };
}

/**
 * Which rows eval_fraction leaves or holds out; undefined: all are used. A row is held out by the hash of its content: on any
 * machine, in any order, and equal rows together.
 */
function rowFilter({ evalFraction, heldOut = false }: DataRecipe): ((content: RowContent) => boolean) | undefined {
  if (evalFraction === 0) return undefined;
  return (content) => {
    const hash = createHash("sha256").update(writeContent(content)).digest();
    const isHeldOut = hash.readUIntBE(0, 6) / 2 ** 48 < evalFraction;
    return isHeldOut === heldOut;
  };
}

/** The columns that a recipe asks for. */
export function columnsOf({ textColumn, promptColumn, completionColumn, messagesColumn }: DataRecipe): Columns {
  if (messagesColumn) return { kind: "messages", messages: messagesColumn };
  if (promptColumn && completionColumn) {
    return { kind: "completion", prompt: promptColumn, completion: completionColumn };
  }
  return { kind: "text", text: textColumn };
}

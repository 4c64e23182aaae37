/** What a row of the table says of a field, and the functions that write rows. */
import type { LoraRecipe, Recipe } from "@gradpool/rpc";

export type FieldKind = "integer" | "number" | "boolean" | "text" | "list" | "numbers" | "patterns";
export type FieldValue = number | boolean | string | string[] | number[] | Record<string, number>;

/**
 * What reads a field: the data-stream, as rows become micro-batches; the adapter's start and the trainers' graphs; the
 * optimizer's steps and their number; evaluations and what follows from them; what is saved.
 */
export type Reader = "data" | "graph" | "optimizer" | "evaluation" | "keeping";

/** Of a number, or of each number of several. */
export interface Bound {
  least?: number;
  above?: number;
  most?: number;
  below?: number;
}

export interface Row<T extends FieldValue = FieldValue> {
  kind: FieldKind;
  default: T;
  /** Of the numbers that patterns hold. */
  each?: "integer" | "number";
  bound?: Bound;
  /** The choices for a text. */
  words?: readonly string[];
  /** Of a boolean: a field whose words are also values of this one. Such a word makes this true and is that field's value. */
  wordsOf?: string;
  /** May not be empty; describes what it must be. */
  needed?: string;
  readBy: readonly Reader[];
  help: string;
  /** What users of transformers, PEFT and TRL call it. */
  familiar?: readonly string[];
  /** It affects what is kept and the speed, but no bit of the result: a resumed run may change it. */
  sameBits?: boolean;
  /** About the data that trains: held-out data is read without it. */
  forTraining?: boolean;
  /** The meaning of protobuf's zero: a client that does not know the field leaves it unset. */
  unset?: T;
}

type Snake<Key extends string> = Key extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Snake<Rest>}`
  : "";

/** The name where only the message shows that it is the adapter's. */
type LoraName<Key extends string> = Key extends "r" | "alpha" | "dropout" ? `lora_${Key}` : Snake<Key>;

export type OfRecipe = { [Key in keyof Omit<Recipe, "lora"> as Snake<Key>]: Row<Recipe[Key]> };
export type OfLora = { [Key in keyof LoraRecipe as LoraName<Key>]: Row<LoraRecipe[Key]> & { lora: Key } };

/** A row for each field of the two messages, and no other. */
export type Rows = OfRecipe & OfLora;

type More<T extends FieldValue> = Partial<Omit<Row<T>, "kind" | "default" | "bound" | "readBy" | "help" | "each">> & {
  /** The field's name in LoraRecipe. */
  lora?: keyof LoraRecipe;
};
type Readers = Reader | readonly Reader[];

const row = <T extends FieldValue, M extends More<T>>(
  kind: FieldKind,
  value: T,
  readers: Readers,
  help: string,
  more: M,
): Row<T> & M => ({ kind, default: value, readBy: [readers].flat() as Reader[], help, ...more });

const none = {};

export const integer = <M extends More<number>>(
  value: number,
  bound: Bound & { most: number },
  readers: Readers,
  help: string,
  more = none as M,
) => ({ ...row<number, M>("integer", value, readers, help, more), bound });

export const number = <M extends More<number>>(
  value: number,
  bound: Bound,
  readers: Readers,
  help: string,
  more = none as M,
) => ({ ...row<number, M>("number", value, readers, help, more), bound });

export const boolean = <M extends More<boolean>>(value: boolean, readers: Readers, help: string, more = none as M) =>
  row<boolean, M>("boolean", value, readers, help, more);

export const text = <M extends More<string>>(value: string, readers: Readers, help: string, more = none as M) =>
  row<string, M>("text", value, readers, help, more);

export const list = <M extends More<string[]>>(value: string[], readers: Readers, help: string, more = none as M) =>
  row<string[], M>("list", value, readers, help, more);

/** `bound`: of each. */
export const numbers = <M extends More<number[]>>(
  value: number[],
  bound: Bound,
  readers: Readers,
  help: string,
  more = none as M,
) => ({ ...row<number[], M>("numbers", value, readers, help, more), bound });

/** Numbers by patterns of module names; none by default. */
export const patterns = <M extends More<Record<string, number>>>(
  each: "integer" | "number",
  bound: Bound,
  readers: Readers,
  help: string,
  more = none as M,
) => ({ ...row<Record<string, number>, M>("patterns", {}, readers, help, more), each, bound });

/** Values of flags: what is accepted, and the errors for the rest. */
import { isModulePattern } from "@gradpool/adapter";
import { fieldNamed, RECIPE_FIELDS, type FieldKind, type FieldValue, type RecipeField } from "@gradpool/recipe";
import { DEVICE_WORDS, parseDevice, type DeviceRequest } from "@gradpool/runtime";
import { InvalidArgumentError, Option, type Command } from "commander";
import { UsageError } from "./usage-error.js";

export function integer(text: string): number {
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) throw refusal(text, "a whole number");
  return value;
}

/** Commander would name a missing flag before a misspelt one. Errors: UsageError, naming the first that is missing. */
export function requireFlags(flags: object, names: readonly string[]): void {
  const missing = names.find((name) => (flags as Record<string, unknown>)[name] === undefined);
  if (missing) throw new UsageError(`--${missing} is missing; see --help`);
}

/** A parser of numbers, 5e-5 and the like. `bound` says in words what `holds` checks. */
export function number(bound = "a number", holds = (_value: number) => true): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || !holds(value)) throw refusal(text, bound);
    return value;
  };
}

/** As trainers take it. */
export function device(text: string): DeviceRequest {
  const request = parseDevice(text);
  if (!request) throw refusal(text, DEVICE_WORDS);
  return request;
}

const TRUE = ["true", "1", "yes", "on"];
const FALSE = ["false", "0", "no", "off"];

export function boolean(text: string): boolean {
  const value = booleanIn(text);
  if (value === undefined) throw refusal(text, "true or false");
  return value;
}

function booleanIn(text: string): boolean | undefined {
  if (TRUE.includes(text.toLowerCase())) return true;
  return FALSE.includes(text.toLowerCase()) ? false : undefined;
}

/** true, false, or one of a few words. */
const booleanOr =
  (words: readonly string[]) =>
  (text: string): boolean | string => {
    const value = booleanIn(text) ?? words.find((word) => word === text);
    if (value === undefined) throw refusal(text, `true or false, or one of ${words.join(", ")}`);
    return value;
  };

/** A flag that is on without a value, and off with --no. */
export const isBoolean = (option: Option): boolean =>
  option.parseArg === boolean || fieldNamed(option.name())?.kind === "boolean";

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** "30s", "15m", "2h", "30d" or "8w" in milliseconds; undefined: it is not a length of time. */
export function lengthOfTime(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS];
}

export function age(text: string): number {
  const ageMs = lengthOfTime(text);
  if (ageMs === undefined) throw refusal(text, "an age such as 12h, 30d or 8w");
  return ageMs;
}

/** A whole number of at least `least`. */
export function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = integer(text);
    if (value < least) throw refusal(text, `at least ${least}`);
    return value;
  };
}

/** "host:port". */
export function address(text: string): string {
  if (!isAddress(text)) throw refusal(text, "HOST:PORT, such as 127.0.0.1:7070");
  return text;
}

export function isAddress(text: string): boolean {
  const port = /^(?:[^\s:]+|\[[^\s\]]+\]):(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) <= LAST_PORT;
}

/** One of a few words. */
export function oneOf<T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((one) => one === text);
    if (word === undefined) throw refusal(text, `one of ${words.join(", ")}`);
    return word;
  };
}

const LAST_PORT = 65_535;

/** A port that leaves room for those after it: the HTTP port and three services. */
export function port(text: string): number {
  const value = integer(text);
  if (value < 0 || value > LAST_PORT - 4) throw refusal(text, `from 0 to ${LAST_PORT - 4}`);
  return value;
}

/** A port of its own. */
export function singlePort(text: string): number {
  const value = integer(text);
  if (value < 0 || value > LAST_PORT) throw refusal(text, `from 0 to ${LAST_PORT}`);
  return value;
}

export function refusal(text: string, bound: string): InvalidArgumentError {
  return new InvalidArgumentError(`must be ${bound}, not ${JSON.stringify(text)}`);
}

/** Values of a flag that may be repeated, and that holds several separated by commas. */
function commaSeparated(text: string, previous: readonly string[] | undefined): string[] {
  // A regular expression is one value, commas and all.
  if (isModulePattern([text])) return [...(previous ?? []), text];
  return [...(previous ?? []), ...splitByCommas(text)];
}

const splitByCommas = (text: string): string[] =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

/** A flag for tags, which may be repeated, and several separated by spaces or commas. */
export const tagsOption = (flags: string, help: string): Option =>
  new Option(flags, help).argParser((text: string, previous: readonly string[] | undefined) => [
    ...(previous ?? []),
    ...splitByCommas(text),
  ]);

/** Numbers separated by commas. */
function numbers(text: string): number[] {
  return text.split(",").map((part) => number()(part.trim()));
}

/** PATTERN=NUMBER, several separated by commas; a pattern may hold commas itself. */
function patternValues(text: string, previous: Readonly<Record<string, number>> | undefined): Record<string, number> {
  const values = { ...previous };
  for (const part of text.split(/(?<=[=][^=,]*),/)) {
    const [, pattern = "", digits = ""] = /^\s*([^=]+)=(.*)$/s.exec(part) ?? [];
    if (pattern === "") throw refusal(text, "PATTERN=NUMBER, such as c_proj=4");
    values[pattern] = number()(digits);
  }
  return values;
}

const PARSERS: Record<FieldKind, ((text: string) => unknown) | undefined> = {
  integer,
  number: number(),
  boolean,
  text: undefined,
  list: undefined,
  numbers,
  patterns: undefined,
};

const PLACEHOLDERS: Record<FieldKind, string> = {
  integer: "<n>",
  number: "<x>",
  boolean: "[true|false]",
  text: "<text>",
  list: "<names...>",
  numbers: "<x,x...>",
  patterns: "<pattern=n...>",
};

/** Adds the recipe's flags, or `some` of them. Values that are not given stay undefined: recipeFrom knows the defaults. */
export function addRecipeFlags(command: Command, some = RECIPE_FIELDS): Command {
  for (const field of some) command.addOption(recipeOption(field));
  return command;
}

function recipeOption({ name, kind, help, default: value, wordsOf }: RecipeField): Option {
  const words = wordsOf === undefined ? [] : (fieldNamed(wordsOf)?.words ?? []);
  const shape = words.length > 0 ? `[${["true", "false", ...words].join("|")}]` : PLACEHOLDERS[kind];
  const option = new Option(`--${name} ${shape}`, `${help}${shownDefault(value)}`);
  option.helpGroup("Recipe:");
  if (words.length > 0) return option.argParser(booleanOr(words));
  if (kind === "list") return option.argParser(commaSeparated);
  if (kind === "patterns") return option.argParser(patternValues);
  const parser = PARSERS[kind];
  return parser ? option.argParser(parser) : option;
}

function shownDefault(value: FieldValue): string {
  const text = valueText(value);
  return text === "" ? "" : ` (default: ${text})`;
}

/** As written on the command line. */
export function valueText(value: FieldValue): string {
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object")
    return Object.entries(value)
      .map((pair) => pair.join("="))
      .join(",");
  const isSmall = typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3;
  return isSmall ? value.toExponential() : String(value);
}

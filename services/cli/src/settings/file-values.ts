/** Values of flags from a file: under the flags' names, read by the flags' own rules; flags on the command line override them. */
import type { Command, Option } from "commander";
import { GradpoolError } from "@gradpool/errors";
import { nearest } from "../nearest.js";
import { familiarAdvice, familiarName } from "./familiar-names.js";
import { readYaml } from "./yaml-file.js";

/** These are about the command line itself. */
const ABOUT_THE_COMMAND = ["config", "json", "output", "debug", "profile", "help"];
/** These are read before the command is known, see readSettings: a profile has them, a file of flags cannot. */
const READ_EARLY = ["key_file", "tls_ca", "tls_cert", "tls_key", "insecure"];
const NOT_IN_FILES = new Set([...ABOUT_THE_COMMAND, ...READ_EARLY]);

export interface FileValues {
  /** By the flags' names. */
  values: Map<string, unknown>;
  /** A line each: "learning_rate must be a number, not "fast"". */
  problems: string[];
}

/** What `content` says for the flags of a command. */
export function fileValues(content: unknown, command: Command): FileValues {
  const values = new Map<string, unknown>();
  if (content === undefined || content === null) return { values, problems: [] };
  if (typeof content !== "object" || Array.isArray(content)) {
    return { values, problems: ["it must be names with values, such as learning_rate: 5e-4"] };
  }
  const options = new Map(command.options.map((option) => [option.name(), option]));
  for (const name of NOT_IN_FILES) options.delete(name);
  const problems: string[] = [];
  for (const [key, value] of Object.entries(content)) {
    const option = options.get(key.replaceAll("-", "_"));
    if (!option) problems.push(unknownName(key, [...options.keys()], command));
    else {
      try {
        values.set(option.attributeName(), flagValue(option, value));
      } catch (error) {
        problems.push(`${key} ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  return { values, problems };
}

function unknownName(key: string, known: readonly string[], command: Command): string {
  const meant = familiarName(key) ?? nearest(key.replaceAll("-", "_"), known);
  const help = `see gradpool ${pathOf(command)} --help`;
  const advice = familiarAdvice(key) ?? (meant && known.includes(meant) ? `did you mean ${meant}?` : help);
  return `${key} is not a flag of ${pathOf(command)}; ${advice}`;
}

/** "run submit". */
export function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(" ");
}

/** Errors: what is wrong with the value, worded to follow its name. */
function flagValue(option: Option, value: unknown): unknown {
  if (value === null || value === undefined) throw new Error("has no value; give one or remove the line");
  // A flag without a value means true.
  if (!option.required && !option.optional) {
    if (typeof value !== "boolean") throw new Error(`must be true or false, not ${JSON.stringify(value)}`);
    return value;
  }
  const texts = textsOf(value);
  const [first] = texts;
  if (first === undefined) throw new Error("is an empty list; give a value or remove the line");
  const { parseArg } = option;
  if (option.variadic) {
    return parseArg ? texts.reduce<unknown>((previous, text) => parseArg(text, previous), undefined) : texts;
  }
  if (parseArg) return parseArg(texts.join(","), undefined);
  if (typeof value === "object") throw new Error("must be one value, not several");
  return first;
}

/** As on the command line: a map's entries as name=value. */
function textsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(textOf);
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).map(([name, inner]) => `${name}=${textOf(inner)}`);
  }
  return [textOf(value)];
}

function textOf(value: unknown): string {
  if (typeof value === "object" || value === undefined)
    throw new Error("must be names with simple values; simplify it");
  return String(value);
}

/** Errors: `invalid_argument` with all that is wrong with the file; `not_found` when there is none. */
export async function readFlagFile(path: string, command: Command): Promise<Map<string, unknown>> {
  const content = await readYaml(path);
  if (content === undefined) throw new GradpoolError("not_found", `--config ${path} does not exist; check its name`);
  const { values, problems } = fileValues(content, command);
  if (problems.length > 0) throw new GradpoolError("invalid_argument", `${path}: ${problems.join("; ")}`);
  return values;
}

/** Takes values that neither the command line nor an earlier file gave. */
export function applyValues(command: Command, values: ReadonlyMap<string, unknown>): void {
  for (const [name, value] of values) {
    const source = command.getOptionValueSource(name);
    if (source === undefined || source === "default") command.setOptionValueWithSource(name, value, "config");
  }
}

/** What a data set's card says about its parts: the `configs` in the YAML at the head of README.md. */
import { GradpoolError } from "@gradpool/errors";
import { parse } from "yaml";
import { z } from "zod";
import { YAML_ALIASES } from "./limits.js";
import { repoLabel, type Repo } from "./repo-name.js";

const paths = z.union([z.string().transform((path) => [path]), z.array(z.string())]);

const splitFiles = z.object({ split: z.string().regex(/^\w+(\.\w+)*$/), path: paths });

const configEntry = z
  .object({
    config_name: z.string(),
    data_files: z.union([paths, z.array(splitFiles)]).nullish(),
    data_dir: z.string().nullish(),
    default: z.boolean().nullish(),
    // What else `datasets` hands to the reader of the files' format.
    description: z.string().nullish(),
    version: z.unknown().optional(),
  })
  .catchall(z.unknown());

/** Values of a reader's parameters that ask for what is done anyway (datasets 5.2, CsvConfig, JsonConfig, TextConfig, ParquetConfig). */
const AS_ALWAYS: Readonly<Record<string, readonly unknown[]>> = {
  encoding: ["utf-8", "utf8", "UTF-8"],
  encoding_errors: ["strict"],
  sep: [","],
  delimiter: [","],
  sample_by: ["line"],
  keep_linebreaks: [false],
  header: ["infer", 0],
  skiprows: [0],
  quotechar: ['"'],
  doublequote: [true],
  skip_blank_lines: [true],
  on_bad_lines: ["error"],
};

/** Parameters that change how a reader works or what other columns hold, but not the texts. */
const WITHOUT_EFFECT = new Set(
  "features drop_labels drop_metadata chunksize block_size use_threads engine memory_map low_memory dtype batch_size columns".split(
    " ",
  ),
);

const cardHead = z.object({ configs: z.array(configEntry).nullish() });

/** A part of a data set that is loaded by itself. */
export interface DatasetConfig {
  name: string;
  isDefault: boolean;
  /** Folder that its patterns start from; "" for the repository's own. */
  folder: string;
  /** Patterns of each split's files; undefined: decided by names of files and folders. */
  patterns: ReadonlyMap<string, readonly string[]> | undefined;
  /** Parameters of the card that would give other rows than those read here, such as `sep=";"`. */
  unsupported: readonly string[];
}

/**
 * The configs of a card (README.md) or of .huggingface.yaml, in order; none where it says nothing of them. Errors:
 * `invalid_argument` for invalid YAML or configs.
 */
export function configsOf(repo: Repo, file: string, text: string): DatasetConfig[] {
  const yaml = file.endsWith(".md") ? headOf(text) : text;
  if (yaml === undefined) return [];
  try {
    const head = cardHead.parse(parse(yaml, { maxAliasCount: YAML_ALIASES, logLevel: "error" }) ?? {});
    return (head.configs ?? []).map(configOf);
  } catch (cause) {
    const message = `${file} of ${repoLabel(repo)} has a card with invalid configs; select the files by a pattern`;
    throw new GradpoolError("invalid_argument", message, { cause });
  }
}

/** What is between the first two lines of three dashes. */
function headOf(card: string): string | undefined {
  const lines = card.replace(/^\ufeff?\s*/, "").split(/\r?\n/);
  if (lines[0]?.trim() !== "---") return undefined;
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === "---");
  return end < 0 ? undefined : lines.slice(1, end).join("\n");
}

function configOf(entry: z.infer<typeof configEntry>): DatasetConfig {
  return {
    name: entry.config_name,
    isDefault: entry.default === true || entry.config_name === "default",
    folder: (entry.data_dir ?? "").replace(/^(\.\/)+|\/+$/g, ""),
    patterns: entry.data_files ? patternsOf(entry.data_files) : undefined,
    unsupported: unsupportedIn(entry),
  };
}

function unsupportedIn(entry: z.infer<typeof configEntry>): string[] {
  const others = Object.entries(entry).filter(
    ([name, value]) => !(name in configEntry.shape) && (value !== null || name === "header"),
  );
  const unsupported = others.filter(([name, value]) => !WITHOUT_EFFECT.has(name) && !AS_ALWAYS[name]?.includes(value));
  return unsupported.map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
}

/** Files without a split are the train split's. */
function patternsOf(dataFiles: readonly (string | z.infer<typeof splitFiles>)[]): Map<string, string[]> {
  const patterns = new Map<string, string[]>();
  for (const entry of dataFiles) {
    const { split, path } = typeof entry === "string" ? { split: "train", path: [entry] } : entry;
    if (typeof entry !== "string" && patterns.has(split)) throw new Error(`the split ${split} is there twice`);
    patterns.set(split, [...(patterns.get(split) ?? []), ...path]);
  }
  return patterns;
}

/**
 * The config to load. Errors: `invalid_argument` where none is the default and none was chosen, or where it has parameters that are
 * not supported; `not_found` for one that is not there.
 */
export function chooseConfig(
  repo: Repo,
  configs: readonly DatasetConfig[],
  wanted: string | undefined,
): DatasetConfig | undefined {
  const config = choice(repo, configs, wanted);
  if (config === undefined || config.unsupported.length === 0) return config;
  const what = `the card of ${repo.id} asks for ${config.unsupported.join(", ")} in its config ${config.name}`;
  throw new GradpoolError(
    "invalid_argument",
    `${what}, which is not supported; convert the files, or select them by a pattern`,
  );
}

function choice(repo: Repo, configs: readonly DatasetConfig[], wanted: string | undefined): DatasetConfig | undefined {
  const names = configs.map(({ name }) => name);
  const listed = names.slice(0, 20).join(", ") + (names.length > 20 ? `, and ${names.length - 20} more` : "");
  if (wanted !== undefined) {
    const found = configs.find(({ name }) => name === wanted);
    // A card without configs has one, by this name in Python.
    if (found || (configs.length === 0 && wanted === "default")) return found;
    const there = configs.length === 0 ? "it has none" : `choose one of ${listed}`;
    throw new GradpoolError("not_found", `${repo.id} has no config ${wanted}; ${there}`);
  }
  const defaults = configs.length === 1 ? configs : configs.filter(({ isDefault }) => isDefault);
  if (configs.length === 0 || defaults.length === 1) return defaults[0];
  throw new GradpoolError("invalid_argument", `${repo.id} has several configs; choose one of ${listed}`);
}

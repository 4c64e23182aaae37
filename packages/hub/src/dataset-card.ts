/** What a data set's card says about its parts: the `configs` in the YAML at the head of README.md. */
import { GradpoolError } from "@gradpool/errors";
import { parse } from "yaml";
import { z } from "zod";
import { YAML_ALIASES } from "./limits.js";
import { repoLabel, type Repo } from "./repo-name.js";

const paths = z.union([z.string().transform((path) => [path]), z.array(z.string())]);

const splitFiles = z.object({ split: z.string().regex(/^\w+(\.\w+)*$/), path: paths });

const configEntry = z.object({
  config_name: z.string(),
  data_files: z.union([paths, z.array(splitFiles)]).nullish(),
  data_dir: z.string().nullish(),
  default: z.boolean().nullish(),
});

const cardHead = z.object({ configs: z.array(configEntry).nullish() });

/** A part of a data set that is loaded by itself. */
export interface DatasetConfig {
  name: string;
  isDefault: boolean;
  /** Folder that its patterns start from; "" for the repository's own. */
  folder: string;
  /** Patterns of each split's files; undefined: to be told from names of files and folders. */
  patterns: ReadonlyMap<string, readonly string[]> | undefined;
}

/**
 * The configs of a card (README.md) or of .huggingface.yaml, in order; none where it says nothing of them. Errors:
 * `invalid_argument` for YAML that is none or means none.
 */
export function configsOf(repo: Repo, file: string, text: string): DatasetConfig[] {
  const yaml = file.endsWith(".md") ? headOf(text) : text;
  if (yaml === undefined) return [];
  try {
    const head = cardHead.parse(parse(yaml, { maxAliasCount: YAML_ALIASES, logLevel: "error" }) ?? {});
    return (head.configs ?? []).map(configOf);
  } catch (cause) {
    const message = `${file} of ${repoLabel(repo)} describes its configs in a way that cannot be read; name the files by a pattern`;
    throw new GradpoolError("invalid_argument", message, { cause });
  }
}

/** What stands between the first two lines of three dashes. */
function headOf(card: string): string | undefined {
  const lines = card.replace(/^\ufeff?\s*/, "").split(/\r?\n/);
  if (lines[0]?.trim() !== "---") return undefined;
  const end = lines.indexOf("---", 1);
  return end < 0 ? undefined : lines.slice(1, end).join("\n");
}

function configOf(entry: z.infer<typeof configEntry>): DatasetConfig {
  return {
    name: entry.config_name,
    isDefault: entry.default === true || entry.config_name === "default",
    folder: (entry.data_dir ?? "").replace(/^(\.\/)+|\/+$/g, ""),
    patterns: entry.data_files ? patternsOf(entry.data_files) : undefined,
  };
}

/** Files without a split are the train split's. */
function patternsOf(dataFiles: readonly (string | z.infer<typeof splitFiles>)[]): Map<string, string[]> {
  const patterns = new Map<string, string[]>();
  for (const entry of dataFiles) {
    const { split, path } = typeof entry === "string" ? { split: "train", path: [entry] } : entry;
    if (typeof entry !== "string" && patterns.has(split)) throw new Error(`the split ${split} is given twice`);
    patterns.set(split, [...(patterns.get(split) ?? []), ...path]);
  }
  return patterns;
}

/**
 * The config to load. Errors: `invalid_argument` where none is the default and none was chosen, `not_found` for one
 * that is not there.
 */
export function chooseConfig(
  repo: Repo,
  configs: readonly DatasetConfig[],
  wanted: string | undefined,
): DatasetConfig | undefined {
  const names = configs.map(({ name }) => name);
  const listed = names.slice(0, 20).join(", ") + (names.length > 20 ? `, and ${names.length - 20} more` : "");
  if (wanted !== undefined) {
    const found = configs.find(({ name }) => name === wanted);
    // Where the card names no configs there is one, and Python calls it so.
    if (found || (configs.length === 0 && wanted === "default")) return found;
    const there = configs.length === 0 ? "it has none" : `choose one of ${listed}`;
    throw new GradpoolError("not_found", `${repo.id} has no config ${wanted}; ${there}`);
  }
  const defaults = configs.length === 1 ? configs : configs.filter(({ isDefault }) => isDefault);
  if (configs.length === 0 || defaults.length === 1) return defaults[0];
  throw new GradpoolError("invalid_argument", `${repo.id} has several configs; choose one of ${listed}`);
}

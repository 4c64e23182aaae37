/** Which files belong to which split when a data set does not say: the rules of Python's `datasets`. */
import { basename } from "node:path/posix";
import { compileGlob } from "./glob.js";
import type { RepoFile } from "./repo-files.js";

/** In the order in which they are named; others follow by name. */
const KEYWORDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["train", ["train", "training"]],
  ["validation", ["validation", "valid", "dev", "val"]],
  ["test", ["test", "testing", "eval", "evaluation"]],
]);

const SEPARATORS = "[-._ 0-9]";
const IN_FOLDER_NAME = (keyword: string) => [
  `**/${keyword}/**`,
  `**/${keyword}${SEPARATORS}*/**`,
  `**/*${SEPARATORS}${keyword}/**`,
  `**/*${SEPARATORS}${keyword}${SEPARATORS}*/**`,
];
const IN_FILE_NAME = (keyword: string) => [`**/${keyword}${SEPARATORS}*`, `**/*${SEPARATORS}${keyword}${SEPARATORS}*`];

const SHARD = (split: string) => `data/${split}-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]*.*`;
const SHARD_NAME = /^(\w+(?:\.\w+)*)-\d{5}-of-\d{5}.*\./;

type Named = Pick<RepoFile, "path">;

/** Not data, wherever they are. */
const IGNORED = new Set([
  "README.md",
  "config.json",
  "dataset_info.json",
  "dataset_infos.json",
  "dummy_data.zip",
  "dataset_dict.json",
]);

/**
 * The files that match a pattern below `folder`, by path. Hidden files and folders, and folders that begin with "__",
 * count only where the pattern names them.
 */
export function matchingFiles<F extends Named>(files: readonly F[], folder: string, pattern: string): F[] {
  const whole = folder === "" ? pattern.replace(/^(\.\/)+/, "") : `${folder}/${pattern}`;
  const matches = compileGlob(whole);
  const parts = whole.split("/");
  const hidden = (segments: readonly string[]) => segments.filter((segment) => /^\.+[^.]/.test(segment)).length;
  const special = (segments: readonly string[]) => segments.slice(0, -1).filter((part) => part.startsWith("__")).length;
  return files
    .filter(({ path }) => {
      const segments = path.split("/");
      const name = segments.at(-1)!;
      if (IGNORED.has(name) && name !== basename(pattern)) return false;
      if (!matches(segments)) return false;
      return hidden(segments) === hidden(parts) && special(segments) === special(parts);
    })
    .sort(byPath);
}

/** By code points, as Python sorts. */
export const byPath = (one: Named, other: Named): number =>
  Buffer.compare(Buffer.from(one.path), Buffer.from(other.path));

/**
 * Patterns of each split: names like data/train-00000-of-00002.parquet first, else folders named after splits, else
 * files named after splits, else all is train.
 */
export const inferSplits = (files: readonly Named[], folder: string): Map<string, readonly string[]> =>
  namedSplits(files, folder) ?? new Map([["train", ["**"]]]);

/** As inferSplits; undefined where no name is that of a split. */
export function namedSplits(files: readonly Named[], folder: string): Map<string, readonly string[]> | undefined {
  const sharded = matchingFiles(files, folder, SHARD("*"));
  if (sharded.length > 0) {
    const names = new Set(sharded.flatMap(({ path }) => SHARD_NAME.exec(basename(path))?.[1] ?? []));
    const known = [...KEYWORDS.keys()].filter((split) => names.has(split));
    const others = [...names].filter((split) => !KEYWORDS.has(split)).sort();
    return new Map([...known, ...others].map((split) => [split, [SHARD(split)]]));
  }
  for (const patternsOf of [IN_FOLDER_NAME, IN_FILE_NAME]) {
    const splits = new Map<string, readonly string[]>();
    for (const [split, keywords] of KEYWORDS) {
      const patterns = keywords.flatMap(patternsOf);
      if (patterns.some((pattern) => matchingFiles(files, folder, pattern).length > 0)) splits.set(split, patterns);
    }
    if (splits.size > 0) return splits;
  }
  return undefined;
}

/** From a data set's name to the files of one of its splits. */
import { basename } from "node:path/posix";
import { GradpoolError } from "@gradpool/errors";
import type { ByteSource } from "./byte-source.js";
import { chooseConfig, configsOf, type DatasetConfig } from "./dataset-card.js";
import { inferSplits, matchingFiles } from "./dataset-splits.js";
import type { Hub } from "./hub.js";
import { collect } from "./hub-client.js";
import { CARD_BYTES, PATTERNS } from "./limits.js";
import type { RepoFile, RepoListing } from "./repo-files.js";
import { repoLabel, type RepoName } from "./repo-name.js";

export interface DatasetSelection {
  /** A config that the card names; by default the card's default. */
  config?: string;
  /** "train" by default; "a|b": the first that there is. */
  split?: string;
  /** The files by patterns of the user's own; config and split are then ignored. */
  patterns?: readonly string[];
}

export interface DatasetFile {
  /** In the repository. */
  path: string;
  source: ByteSource;
}

export interface DatasetFiles {
  commit: string;
  /** In the order in which they are to be read. */
  files: DatasetFile[];
  /** Of which they are; undefined where they are named by a pattern. */
  split?: string;
  /** Why the hub was not asked, where only the cache was used. */
  fromCache?: string;
}

/** Where a card may be; the first that names configs counts. */
const CARDS = [".huggingface.yaml", "README.md"];

/** Kinds of data by extension, as Python's `datasets` groups them. */
const KINDS: readonly (readonly string[])[] = [
  [".parquet", ".geoparquet", ".gpq"],
  [".arrow"],
  [".json", ".jsonl", ".ndjson"],
  [".csv", ".tsv"],
  [".txt"],
];

/** Which extension wins a tie (datasets 5.2, infer_module_for_data_files_list); after these the last in the alphabet. */
const PREFERRED = [".parquet", ".arrow", ".jsonl", ".json", ".csv"];

/**
 * The files of one split of a data set, chosen as Python's `datasets` does for repositories of data files: `configs`
 * of the card first, else names of files and folders; among them the most frequent kind of data. Loading scripts are
 * never run. Errors: `not_found` for a config, split or pattern without files; `invalid_argument` where a choice is
 * missing; as Hub.list.
 */
export async function listDatasetFiles(
  hub: Hub,
  repo: RepoName,
  selection: DatasetSelection,
  signal: AbortSignal,
): Promise<DatasetFiles> {
  const listing = await hub.list(repo, signal);
  const patterns = selection.patterns ?? (repo.pattern === undefined ? undefined : [repo.pattern]);
  const { split, files: chosen } = patterns
    ? { files: named(listing, patterns), split: undefined }
    : await ofSplit(hub, listing, selection, signal);
  const files: DatasetFile[] = [];
  for (const file of chosen) files.push({ path: file.path, source: await hub.byteSource(listing, file) });
  const { commit, fromCache } = listing;
  return { commit, files, ...(split !== undefined && { split }), ...(fromCache === undefined ? {} : { fromCache }) };
}

function named(listing: RepoListing, patterns: readonly string[]): RepoFile[] {
  const files = allMatching(listing, "", patterns);
  if (files.length > 0) return files;
  const message = `${repoLabel(listing.repo)} has no file that matches ${patterns.slice(0, 3).join(", ")}; check the pattern`;
  throw new GradpoolError("not_found", message);
}

async function ofSplit(
  hub: Hub,
  listing: RepoListing,
  { config: wantedConfig, split: wanted = "train" }: DatasetSelection,
  signal: AbortSignal,
): Promise<{ split: string; files: RepoFile[] }> {
  const { repo, files } = listing;
  const config = chooseConfig(repo, await configsIn(hub, listing, signal), wantedConfig);
  const folder = config?.folder ?? "";
  const splits = config?.patterns ?? inferSplits(files, folder);
  const split = chooseSplit(repoLabel(repo), [...splits.keys()], wanted);
  const matching = allMatching(listing, folder, splits.get(split)!);
  const data = mostFrequentKind(matching);
  if (data.length > 0) return { split, files: data };
  throw noData(listing, matching);
}

/** The first of "a|b" that is there. Errors: `not_found` for none, saying how to choose one. */
export function chooseSplit(label: string, splits: readonly string[], wanted: string): string {
  const alternatives = wanted.split("|");
  const found = alternatives.find((split) => splits.includes(split));
  if (found !== undefined) return found;
  const there = splits.join(", ");
  if (alternatives.length === 1) {
    throw new GradpoolError("not_found", `${label} has no split ${wanted}; choose one of ${there}`);
  }
  const advice = `name one of ${there} with --eval_split, or hold out rows of the training data with --eval_fraction 0.05`;
  throw new GradpoolError("not_found", `${label} has no split ${alternatives.join(", ")} to evaluate on; ${advice}`);
}

async function configsIn(hub: Hub, listing: RepoListing, signal: AbortSignal): Promise<DatasetConfig[]> {
  const { repo, files } = listing;
  for (const path of CARDS) {
    const card = files.find((file) => file.path === path);
    if (!card) continue;
    const source = await hub.byteSource(listing, card);
    const text = await collect(source.read({ start: 0, signal }), CARD_BYTES, { repo, path });
    const configs = configsOf(repo, path, text.toString("utf8"));
    if (configs.length > 0) return configs;
  }
  return [];
}

/** Pattern after pattern; a file that several match counts once. */
function allMatching({ files }: RepoListing, folder: string, patterns: readonly string[]): RepoFile[] {
  if (patterns.length > PATTERNS) {
    const message = `a split may have at most ${PATTERNS} patterns; select its files by fewer`;
    throw new GradpoolError("resource_exhausted", message);
  }
  return [...new Set(patterns.flatMap((pattern) => matchingFiles(files, folder, pattern)))];
}

const extensionsOf = (path: string) =>
  basename(path)
    .split(".")
    .slice(1)
    .map((part) => `.${part.toLowerCase()}`);

const isHidden = (path: string) => path.split("/").some((part) => part.startsWith("."));

/** Data, or what has no kind or is beside data: a license, a card, a folder. */
export function isOfDataset({ path }: Pick<RepoFile, "path">): boolean {
  const extensions = extensionsOf(path);
  const isData = extensions.some((extension) => KINDS.some((kind) => kind.includes(extension)));
  return isData || extensions.length === 0 || extensions.at(-1) === ".md" || isHidden(path);
}

/** The files of the kind that the most frequent extension belongs to: .jsonl and .json count apart, and are then read together. */
export function mostFrequentKind<F extends Pick<RepoFile, "path">>(files: readonly F[]): F[] {
  const counts = new Map<string, number>();
  for (const extension of files.flatMap(({ path }) => extensionsOf(path))) {
    if (KINDS.some((kind) => kind.includes(extension))) counts.set(extension, (counts.get(extension) ?? 0) + 1);
  }
  const rank = (extension: string) => (PREFERRED.includes(extension) ? PREFERRED.indexOf(extension) : PREFERRED.length);
  const [winner] = [...counts].sort(
    ([one, ones], [other, others]) => others - ones || rank(one) - rank(other) || (one < other ? 1 : -1),
  );
  const kind = KINDS.find((extensions) => winner !== undefined && extensions.includes(winner[0])) ?? [];
  return files.filter(({ path }) => extensionsOf(path).some((extension) => kind.includes(extension)));
}

function noData({ repo, files }: RepoListing, matching: readonly RepoFile[]): GradpoolError {
  const label = repoLabel(repo);
  const script = `${basename(repo.id)}.py`;
  if (files.some(({ path }) => path === script)) {
    const advice = `loading scripts are never run; try ${repo.id}@refs/convert/parquet`;
    return new GradpoolError("not_found", `${label} has no data files, only the script ${script}; ${advice}`);
  }
  const kinds = [...new Set(matching.flatMap(({ path }) => extensionsOf(path).at(-1) ?? []))].slice(0, 5).join(" ");
  const found = kinds === "" ? "" : ` (found ${kinds})`;
  const advice = "it needs .parquet, .json, .jsonl, .csv or .txt files; or select files by a pattern";
  return new GradpoolError("not_found", `${label} has no data in a supported format${found}; ${advice}`);
}

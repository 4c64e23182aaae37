/** Data sets of the hub as sources of rows, read in place, and splits of this machine's folders. */
import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { ByteSource } from "./byte-source.js";
import {
  chooseSplit,
  isOfDataset,
  listDatasetFiles,
  mostFrequentKind,
  type DatasetSelection,
} from "./dataset-files.js";
import { matchingFiles, namedSplits } from "./dataset-splits.js";
import { Hub } from "./hub.js";
import { hubRepo } from "./repo-name.js";
import type { HubSettings } from "./settings.js";

/** Names that mean something else than a data set of the hub. */
const NOT_OF_THE_HUB = new Set(["synthetic"]);

/** Which part of sources is read. */
interface SourceSelection extends DatasetSelection {
  /** A source without splits is refused, instead of read as a whole. */
  needsSplit?: boolean;
}

/**
 * Gives the files that a source's name means: of a data set on the hub, or of a folder's split where one is asked for;
 * undefined for what is read as a whole. `open` opens a local file; `onSplit` is told which split was taken. Errors: those of
 * listDatasetFiles; `not_found` for a folder without the split.
 */
export function datasetResolver<S>(
  settings: HubSettings,
  selection: SourceSelection,
  open: (path: string) => Promise<S | undefined>,
  onSplit: (source: string, split: string) => void = () => {},
) {
  const hub = new Hub(settings);
  return async (source: string, signal: AbortSignal): Promise<(ByteSource | S)[] | undefined> => {
    const repo = NOT_OF_THE_HUB.has(source) ? undefined : await hubRepo(source, "dataset");
    if (repo) {
      const { files, split } = await listDatasetFiles(hub, repo, selection, signal);
      if (split !== undefined) onSplit(source, split);
      return files.map((file) => file.source);
    }
    const found = await splitOfFolder(source, selection);
    if (!found) return undefined;
    onSplit(source, found.split);
    const opened: (S | undefined)[] = [];
    for (const path of found.paths) opened.push(await open(path));
    return opened.filter((file) => file !== undefined);
  };
}

/** By the names of its files and folders, as of a data set on the hub. */
async function splitOfFolder(
  source: string,
  { split: wanted, needsSplit = false }: SourceSelection,
): Promise<{ split: string; paths: string[] } | undefined> {
  if (wanted === undefined) return undefined;
  const found = await stat(source).catch(() => undefined);
  const names = found?.isDirectory() ? await readdir(source, { recursive: true }) : [];
  const files = names.map((name) => ({ path: name.split(sep).join("/") }));
  // In a folder of programs, a test is not a split.
  const splits = needsSplit || files.every(isOfDataset) ? namedSplits(files, "") : undefined;
  if (!splits) {
    if (!needsSplit) return undefined;
    const advice = "give held-out data with --eval_dataset alone, or hold out rows with --eval_fraction 0.05";
    throw new GradpoolError("not_found", `${source} has no splits, so no ${wanted}; ${advice}`);
  }
  const split = chooseSplit(source, [...splits.keys()], wanted);
  const matching = splits.get(split)!.flatMap((pattern) => matchingFiles(files, "", pattern));
  const data = mostFrequentKind([...new Set(matching)]);
  if (data.length > 0) return { split, paths: data.map(({ path }) => join(source, path)) };
  throw new GradpoolError(
    "not_found",
    `${source}: no file of its split ${split} holds data that can be read; name files`,
  );
}

import { stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { checkInRoots, type Roots } from "@gradpool/access";
import { Dataset, localFile } from "@gradpool/data";
import type { HubSettings } from "@gradpool/hub";
import type { JobContext } from "@gradpool/threads";
import type { RequestedDataset } from "./translate.js";

/** Where data sets are looked for. Plain data. */
export interface DatasetPlaces {
  hub: HubSettings;
  /** What may be read of this machine. */
  roots: Roots;
}

/**
 * Opens the files of a request: this machine's, or the hub's. `onSplit` is called for each source of which a split is read. Errors:
 * those of Dataset.open, of the resolver and of checkInRoots.
 */
export async function openDataset(
  { sources, weights, selection }: RequestedDataset,
  { hub, roots }: DatasetPlaces,
  { signal, working }: JobContext,
  onSplit?: (source: string, split: string) => void,
): Promise<Dataset> {
  const onFile = (name: string) => working(`reading ${name}`);
  const check = (path: string) => checkInRoots(path, roots, "dataset:");
  // Whether there is such a file is nobody's business either.
  for (const source of sources) if (isAbsolute(source)) await check(source);
  // Again for each file: a glob may lead anywhere, and so may a link.
  const open = async (path: string) => {
    await check(path);
    return localFile(path);
  };
  if (await areFiles(sources)) return Dataset.open(sources, signal, { weights, open, onFile });
  // Loaded only where it is needed: it takes a while.
  const { datasetResolver } = await import("@gradpool/hub");
  return Dataset.open(sources, signal, {
    ...{ weights, open, onFile },
    elsewhere: datasetResolver(hub, selection, open, onSplit),
  });
}

/** Files named one by one are read as they are. */
async function areFiles(sources: readonly string[]): Promise<boolean> {
  const found = await Promise.all(sources.map((source) => stat(source).catch(() => undefined)));
  return found.every((file) => file?.isFile());
}

import { stat } from "node:fs/promises";
import { Dataset, localFile } from "@gradpool/data";
import type { HubSettings } from "@gradpool/hub";
import type { JobContext } from "@gradpool/threads";
import type { RequestedDataset } from "./translate.js";

/**
 * Opens the files of a request: this machine's, or the hub's. `onSplit` is called for each source of which a split is read. Errors:
 * those of Dataset.open and of the resolver.
 */
export async function openDataset(
  { sources, weights, selection }: RequestedDataset,
  hub: HubSettings,
  { signal, working }: JobContext,
  onSplit?: (source: string, split: string) => void,
): Promise<Dataset> {
  const onFile = (name: string) => working(`reading ${name}`);
  if (await areFiles(sources)) return Dataset.open(sources, signal, { weights, onFile });
  // Loaded only where it is needed: it takes a while.
  const { datasetResolver } = await import("@gradpool/hub");
  return Dataset.open(sources, signal, {
    ...{ weights, onFile },
    elsewhere: datasetResolver(hub, selection, localFile, onSplit),
  });
}

/** Files named one by one are read as they are. */
async function areFiles(sources: readonly string[]): Promise<boolean> {
  const found = await Promise.all(sources.map((source) => stat(source).catch(() => undefined)));
  return found.every((file) => file?.isFile());
}

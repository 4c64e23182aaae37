import { Dataset, localFile } from "@gradpool/data";
import { datasetResolver, type HubSettings } from "@gradpool/hub";
import type { RequestedDataset } from "./translate.js";

/**
 * Opens the files of a request: this machine's, or the hub's. `onSplit` is called for each source of which a split is read. Errors:
 * those of Dataset.open and of the resolver.
 */
export function openDataset(
  { sources, weights, selection }: RequestedDataset,
  hub: HubSettings,
  signal: AbortSignal,
  onSplit?: (source: string, split: string) => void,
): Promise<Dataset> {
  return Dataset.open(sources, signal, { weights, elsewhere: datasetResolver(hub, selection, localFile, onSplit) });
}

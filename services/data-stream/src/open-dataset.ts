import { Dataset } from "@gradpool/data";
import { datasetResolver, type HubSettings } from "@gradpool/hub";
import type { RequestedDataset } from "./translate.js";

/** Opens the files of a request: this machine's, or the hub's. Errors: those of Dataset.open and listDatasetFiles. */
export function openDataset(
  { sources, weights, selection }: RequestedDataset,
  hub: HubSettings,
  signal: AbortSignal,
): Promise<Dataset> {
  return Dataset.open(sources, signal, { weights, elsewhere: datasetResolver(hub, selection) });
}

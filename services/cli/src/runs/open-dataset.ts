import { Dataset, localFile } from "@gradpool/data";
import { datasetResolver, type HubSettings } from "@gradpool/hub";
import { splitOf, type DataUse } from "@gradpool/recipe";

/** The files of data, here or on the hub. Errors: those of Dataset.open and the hub. */
export function openDataset(use: DataUse, hub: HubSettings, signal: AbortSignal): Promise<Dataset> {
  const { datasetWeights } = use.recipe;
  const weights = datasetWeights.length > 0 ? datasetWeights : undefined;
  return Dataset.open(use.sources, signal, { weights, elsewhere: datasetResolver(hub, splitOf(use), localFile) });
}

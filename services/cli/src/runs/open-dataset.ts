import { Dataset } from "@gradpool/data";
import { datasetResolver, type HubSettings } from "@gradpool/hub";
import type { Recipe } from "@gradpool/rpc";

/** The files that a recipe reads from these sources, here or on the hub. Errors: those of Dataset.open and the hub. */
export function openDataset(
  sources: readonly string[],
  { datasetWeights, datasetConfig, datasetSplit }: Recipe,
  hub: HubSettings,
  signal: AbortSignal,
): Promise<Dataset> {
  const selection = {
    ...(datasetConfig && { config: datasetConfig }),
    ...(datasetSplit && { split: datasetSplit }),
  };
  const weights = datasetWeights.length > 0 ? datasetWeights : undefined;
  return Dataset.open(sources, signal, { weights, elsewhere: datasetResolver(hub, selection) });
}

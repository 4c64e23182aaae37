/** Data sets of the hub as sources of rows, read in place. */
import type { ByteSource } from "./byte-source.js";
import { listDatasetFiles, type DatasetSelection } from "./dataset-files.js";
import { Hub } from "./hub.js";
import { hubRepo } from "./repo-name.js";
import type { HubSettings } from "./settings.js";

/** Names that are not data sets of the hub. */
const NOT_OF_THE_HUB = new Set(["synthetic"]);

/** Gives the files that a source's name means on the hub, or undefined for one that can only be this machine's. */
export function datasetResolver(settings: HubSettings, selection: DatasetSelection = {}) {
  const hub = new Hub(settings);
  return async (source: string, signal: AbortSignal): Promise<ByteSource[] | undefined> => {
    const repo = NOT_OF_THE_HUB.has(source) ? undefined : await hubRepo(source, "dataset");
    if (!repo) return undefined;
    const { files } = await listDatasetFiles(hub, repo, selection, signal);
    return files.map((file) => file.source);
  };
}

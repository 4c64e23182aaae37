export type { ByteSource } from "./byte-source.js";
export { datasetResolver } from "./dataset-resolver.js";
export { listDatasetFiles, type DatasetFile, type DatasetFiles, type DatasetSelection } from "./dataset-files.js";
export { gradpoolHome } from "./home-folder.js";
export { Hub, type DownloadOptions, type DownloadProgress } from "./hub.js";
export { downloadModel, type DownloadedModel } from "./model-files.js";
export { etagOf, type RepoFile, type RepoListing } from "./repo-files.js";
export { hubRepo, parseRepoName, repoLabel, type Repo, type RepoName, type RepoType } from "./repo-name.js";
export { hubSettings, type HubSettings, type HubTiming } from "./settings.js";

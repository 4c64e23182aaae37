import { join } from "node:path";
import { gradpoolHome, type Roots } from "@gradpool/access";
import { count } from "@gradpool/format";
import type { DownloadProgress } from "./hub.js";
import { hubSettings, type HubSettings } from "./settings.js";

/** Where models are cached, apart from folders named directly. Plain data. */
export interface ModelPlaces {
  /** Absolute folder for models in the form that they are computed from. */
  cacheDir: string;
  hub: HubSettings;
  /** Where folders that are named directly may be. */
  roots?: Roots;
}

export interface OpenOptions {
  /** Called during a download, chunk by chunk. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Converts a GGUF file, as convertedGguf, which is meant unless it is given: in a thread, where others must not wait. */
  convert?: ((path: string, modelId: string, cacheDir: string | undefined) => Promise<string>) | undefined;
}

/** As the environment says: $GRADPOOL_HOME, and what Python's huggingface_hub reads. Errors: as hubSettings. */
export function modelPlaces(env: NodeJS.ProcessEnv): ModelPlaces {
  return { cacheDir: join(gradpoolHome(env), "cache"), hub: hubSettings(env) };
}

/** For people: "downloading the model: 45 % of 457 MB". */
export function downloadText(what: string, { doneBytes, totalBytes }: DownloadProgress): string {
  const share = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  return `downloading ${what}: ${share} % of ${count(Math.ceil(totalBytes / 1e6))} MB`;
}

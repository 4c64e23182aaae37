/** The one file that reads the environment. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { modelPlaces, type ModelPlaces } from "@gradpool/model-source";

export interface CliConfig {
  /** Folder for logs, pid files, converted models and the runs of local pools: $GRADPOOL_HOME. */
  home: string;
  /** Where models are looked for and kept. */
  models: ModelPlaces;
  /** Coordinator of a running pool: $GRADPOOL_ADDRESS. */
  address: string;
  /** Checkpoint store that runs already: $GRADPOOL_CHECKPOINT_STORE_ADDRESS. */
  checkpointStoreAddress?: string;
  /** Where models and data sets are fetched by name: $HF_ENDPOINT. */
  hubEndpoint: string;
  /** Where traces are looked at: $GRADPOOL_JAEGER_URL. */
  jaegerUrl: string;
  /** The whole environment, in which NVIDIA's driver and libraries look for what concerns them. */
  env: NodeJS.ProcessEnv;
  /** Show stack traces: $GRADPOOL_DEBUG. */
  debug: boolean;
}

export const DEFAULT_PORT = 7070;

export function readCliConfig(env: NodeJS.ProcessEnv): CliConfig {
  const checkpointStoreAddress = env["GRADPOOL_CHECKPOINT_STORE_ADDRESS"];
  const home = resolve(env["GRADPOOL_HOME"] || join(homedir(), ".gradpool"));
  return {
    ...(checkpointStoreAddress && { checkpointStoreAddress }),
    home,
    models: modelPlaces(env),
    address: env["GRADPOOL_ADDRESS"] || `127.0.0.1:${DEFAULT_PORT}`,
    hubEndpoint: (env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, ""),
    jaegerUrl: (env["GRADPOOL_JAEGER_URL"] || "http://localhost:16686").replace(/\/+$/, ""),
    env,
    debug: !["", "0", "false", undefined].includes(env["GRADPOOL_DEBUG"]),
  };
}

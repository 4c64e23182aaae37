import { cacheFolder, listenAddress, readConfig, serviceAddress } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_HOME: cacheFolder,
  GRADPOOL_TOKENIZER_ADDRESS: serviceAddress,
  GRADPOOL_DATA_STREAM_ADDRESS: serviceAddress,
  GRADPOOL_CHECKPOINT_STORE_ADDRESS: serviceAddress,
});

/** Addresses are "host:port". */
export interface CoordinatorConfig {
  listen: string;
  tokenizerAddress: string;
  dataStreamAddress: string;
  checkpointStoreAddress: string;
  /** Absolute folder for converted models. */
  cacheDir: string;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCoordinatorConfig(env: NodeJS.ProcessEnv): CoordinatorConfig {
  const config = readConfig(schema, env);
  return {
    listen: config.GRADPOOL_LISTEN,
    tokenizerAddress: config.GRADPOOL_TOKENIZER_ADDRESS,
    dataStreamAddress: config.GRADPOOL_DATA_STREAM_ADDRESS,
    checkpointStoreAddress: config.GRADPOOL_CHECKPOINT_STORE_ADDRESS,
    cacheDir: config.GRADPOOL_HOME,
  };
}

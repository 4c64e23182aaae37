import { listenAddress, readConfig, serviceAddress } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
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
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCoordinatorConfig(env: NodeJS.ProcessEnv): CoordinatorConfig {
  const config = readConfig(schema, env);
  return {
    listen: config.GRADPOOL_LISTEN,
    tokenizerAddress: config.GRADPOOL_TOKENIZER_ADDRESS,
    dataStreamAddress: config.GRADPOOL_DATA_STREAM_ADDRESS,
    checkpointStoreAddress: config.GRADPOOL_CHECKPOINT_STORE_ADDRESS,
  };
}

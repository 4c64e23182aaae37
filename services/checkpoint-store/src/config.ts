import { listenAddress, readConfig } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({ GRADPOOL_LISTEN: listenAddress });

export interface CheckpointStoreConfig {
  /** "host:port" to listen on. */
  listen: string;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCheckpointStoreConfig(env: NodeJS.ProcessEnv): CheckpointStoreConfig {
  return { listen: readConfig(schema, env).GRADPOOL_LISTEN };
}

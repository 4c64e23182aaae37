import { join } from "node:path";
import { gradpoolHome } from "@gradpool/access";
import { hubSettings, type HubSettings } from "@gradpool/hub";
import { listenAddress, readConfig, serviceAddress } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_TOKENIZER_ADDRESS: serviceAddress,
});

/** Variables it reads besides those of every service; docs and deployments are checked against them. */
export const variables: readonly string[] = Object.keys(schema.shape);

export interface DataStreamConfig {
  /** "host:port" to listen on. */
  listen: string;
  /** "host:port" of the tokenizer service. */
  tokenizerAddress: string;
  hub: HubSettings;
  /** Folder for counts of data sets, below $GRADPOOL_HOME. */
  countsDir: string;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readDataStreamConfig(env: NodeJS.ProcessEnv): DataStreamConfig {
  const { GRADPOOL_LISTEN, GRADPOOL_TOKENIZER_ADDRESS } = readConfig(schema, env);
  return {
    listen: GRADPOOL_LISTEN,
    tokenizerAddress: GRADPOOL_TOKENIZER_ADDRESS,
    hub: hubSettings(env),
    countsDir: join(gradpoolHome(env), "counts"),
  };
}

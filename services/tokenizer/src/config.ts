import { availableParallelism } from "node:os";
import { listenAddress, readConfig } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_WORKERS: z.coerce.number().int().min(1).optional(),
});

export interface TokenizerConfig {
  /** "host:port" to listen on. */
  listen: string;
  /** Threads that encode. */
  workers: number;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readTokenizerConfig(env: NodeJS.ProcessEnv): TokenizerConfig {
  const config = readConfig(schema, env);
  return { listen: config.GRADPOOL_LISTEN, workers: config.GRADPOOL_WORKERS ?? Math.min(2, availableParallelism()) };
}

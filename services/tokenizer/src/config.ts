import { availableParallelism } from "node:os";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import { listenAddress, readConfig } from "@gradpool/service-kit";
import { z } from "zod";

const MAX_WORKERS = 64;

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_WORKERS: z
    .string()
    .regex(/^\d+$/, "must be a number of worker threads")
    .transform(Number)
    .refine((workers) => workers >= 1 && workers <= MAX_WORKERS, `must be from 1 to ${MAX_WORKERS}`)
    .optional(),
});

/** Variables it reads besides those of every service; docs and deployments are checked against them. */
export const variables: readonly string[] = Object.keys(schema.shape);

export interface TokenizerConfig {
  /** "host:port" to listen on. */
  listen: string;
  /** Threads that encode. */
  workers: number;
  /** Where models are looked for and kept. */
  models: ModelPlaces;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readTokenizerConfig(env: NodeJS.ProcessEnv): TokenizerConfig {
  const config = readConfig(schema, env);
  return {
    listen: config.GRADPOOL_LISTEN,
    workers: config.GRADPOOL_WORKERS ?? Math.min(2, availableParallelism()),
    models: modelPlaces(env),
  };
}

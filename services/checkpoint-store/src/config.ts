import { finishMsOf, listenAddress, readConfig, stopGraceSeconds } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({ GRADPOOL_LISTEN: listenAddress, GRADPOOL_STOP_GRACE_SECONDS: stopGraceSeconds });

/** Names of what it reads, beside what every service reads; documents and deployments are held against them. */
export const variables: readonly string[] = Object.keys(schema.shape);

export interface CheckpointStoreConfig {
  /** "host:port" to listen on. */
  listen: string;
  /** How long saves that are under way may take to be done when the store stops. */
  finishMs: number;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCheckpointStoreConfig(env: NodeJS.ProcessEnv): CheckpointStoreConfig {
  const { GRADPOOL_LISTEN, GRADPOOL_STOP_GRACE_SECONDS } = readConfig(schema, env);
  return { listen: GRADPOOL_LISTEN, finishMs: finishMsOf(GRADPOOL_STOP_GRACE_SECONDS) };
}

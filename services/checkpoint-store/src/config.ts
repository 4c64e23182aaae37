import { finishMsOf, listenAddress, readConfig, stopGraceSeconds } from "@gradpool/service-kit";
import { z } from "zod";
import type { S3Settings } from "./s3/connection.js";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_STOP_GRACE_SECONDS: stopGraceSeconds,
  AWS_ENDPOINT_URL_S3: z.url({ protocol: /^https?$/ }).optional(),
  AWS_ENDPOINT_URL: z.url({ protocol: /^https?$/ }).optional(),
  AWS_REGION: z.string().default("us-east-1"),
  AWS_CA_BUNDLE: z.string().optional(),
});

/** Read by the object store's client library. */
const CREDENTIALS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/** Variables it reads besides those of every service; docs and deployments are checked against them. */
export const variables: readonly string[] = [...Object.keys(schema.shape), ...CREDENTIALS];

export interface CheckpointStoreConfig {
  /** "host:port" to listen on. */
  listen: string;
  /** How long saves in progress may take to finish when the store stops. */
  finishMs: number;
  /** For output folders in an object store. */
  s3: S3Settings;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCheckpointStoreConfig(env: NodeJS.ProcessEnv): CheckpointStoreConfig {
  const { GRADPOOL_LISTEN, GRADPOOL_STOP_GRACE_SECONDS, AWS_REGION, AWS_CA_BUNDLE, ...urls } = readConfig(schema, env);
  return {
    listen: GRADPOOL_LISTEN,
    finishMs: finishMsOf(GRADPOOL_STOP_GRACE_SECONDS),
    s3: {
      endpoint: urls.AWS_ENDPOINT_URL_S3 ?? urls.AWS_ENDPOINT_URL,
      region: AWS_REGION,
      caBundle: AWS_CA_BUNDLE || undefined,
    },
  };
}

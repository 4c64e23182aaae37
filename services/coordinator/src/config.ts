import { GradpoolError } from "@gradpool/errors";
import { natsOptions, type NatsOptions } from "@gradpool/events";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import { finishMsOf, listenAddress, readConfig, serviceAddress, stopGraceSeconds } from "@gradpool/service-kit";
import { z } from "zod";
import type { MlflowSettings } from "./reports/mlflow-client.js";
import { mlflowSettings } from "./reports/mlflow-settings.js";
import { runStorePlace, type RunStorePlace } from "./store/run-store-place.js";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_TOKENIZER_ADDRESS: serviceAddress,
  GRADPOOL_DATA_STREAM_ADDRESS: serviceAddress,
  GRADPOOL_CHECKPOINT_STORE_ADDRESS: serviceAddress,
  GRADPOOL_STORE: z.string().min(1, "must be a file, or a postgres:// URL").optional(),
  PGPASSWORD: z.string().optional(),
  PGPASSFILE: z.string().optional(),
  GRADPOOL_RECOVERY_SECONDS: z.coerce
    .number("must be a number of seconds; 0 turns recovery points off")
    .min(0, "must be 0 or more seconds")
    .default(30),
  GRADPOOL_COORDINATOR_LEASE_SECONDS: z.coerce
    .number("must be a number of seconds")
    .min(1, "must be at least 1 second")
    .default(5),
  GRADPOOL_ADVERTISE: serviceAddress.optional(),
  GRADPOOL_KEEP_RUNS_DAYS: z.coerce
    .number("must be a number of days")
    .positive("must be more than 0 days; unset: runs are kept")
    .optional(),
  GRADPOOL_STOP_GRACE_SECONDS: stopGraceSeconds,
  NATS_URL: z.string().optional(),
  NATS_USER: z.string().optional(),
  NATS_PASSWORD: z.string().optional(),
  NATS_TOKEN: z.string().optional(),
  NATS_CREDS: z.string().optional(),
  NATS_NKEY: z.string().optional(),
  NATS_CA: z.string().optional(),
  NATS_CERT: z.string().optional(),
  NATS_KEY: z.string().optional(),
  NATS_TLS_FIRST: z.string().optional(),
  NATS_JS_DOMAIN: z.string().optional(),
  MLFLOW_TRACKING_URI: z.string().optional(),
  MLFLOW_EXPERIMENT_NAME: z.string().optional(),
  MLFLOW_TRACKING_TOKEN: z.string().optional(),
  MLFLOW_TRACKING_USERNAME: z.string().optional(),
  MLFLOW_TRACKING_PASSWORD: z.string().optional(),
});

const DAY_MS = 86_400_000;

/** Variables it reads besides those of every service; docs and deployments are checked against them. */
export const variables: readonly string[] = Object.keys(schema.shape);

/** Addresses are "host:port". */
export interface CoordinatorConfig {
  listen: string;
  tokenizerAddress: string;
  dataStreamAddress: string;
  checkpointStoreAddress: string;
  /** SQLite file or PostgreSQL that records the runs; undefined: they are lost when the process ends. */
  runStore?: RunStorePlace | undefined;
  /** With PostgreSQL: others may take its runs over once it has not renewed its lease for this long. */
  leaseMs: number;
  /** With PostgreSQL: where other coordinators and trainers reach it; undefined: where it listens. */
  advertised?: string | undefined;
  /** A run saves a recovery point when this much time has passed since its last save; 0: never. */
  recoveryMs: number;
  /** Runs are deleted once they ended this long ago; undefined: never. */
  keepRunsMs?: number | undefined;
  /** How long steps in progress may take to finish when the coordinator stops. */
  drainMs: number;
  /** Where models are looked for and kept. */
  models: ModelPlaces;
  /** Where events are published; undefined: nowhere. */
  nats?: NatsOptions | undefined;
  /** Where runs that ask for it are reported; or why they cannot be. */
  mlflow: MlflowSettings | string;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readCoordinatorConfig(env: NodeJS.ProcessEnv): CoordinatorConfig {
  // Ignored, it would begin with an empty store.
  if (env["GRADPOOL_RUN_STORE"] !== undefined) {
    const message =
      "GRADPOOL_RUN_STORE is called GRADPOOL_STORE now, and takes a postgres:// URL, too; set that instead";
    throw new GradpoolError("invalid_argument", message);
  }
  const config = readConfig(schema, env);
  const models = modelPlaces(env);
  return {
    listen: config.GRADPOOL_LISTEN,
    tokenizerAddress: config.GRADPOOL_TOKENIZER_ADDRESS,
    dataStreamAddress: config.GRADPOOL_DATA_STREAM_ADDRESS,
    checkpointStoreAddress: config.GRADPOOL_CHECKPOINT_STORE_ADDRESS,
    runStore: config.GRADPOOL_STORE && runStorePlace(config.GRADPOOL_STORE, config),
    leaseMs: 1000 * config.GRADPOOL_COORDINATOR_LEASE_SECONDS,
    advertised: config.GRADPOOL_ADVERTISE,
    recoveryMs: 1000 * config.GRADPOOL_RECOVERY_SECONDS,
    keepRunsMs: config.GRADPOOL_KEEP_RUNS_DAYS && DAY_MS * config.GRADPOOL_KEEP_RUNS_DAYS,
    drainMs: finishMsOf(config.GRADPOOL_STOP_GRACE_SECONDS),
    models,
    nats: natsOptions(config),
    mlflow: mlflowSettings(config, models.hub.proxy),
  };
}

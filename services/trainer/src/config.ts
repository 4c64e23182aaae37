import { availableParallelism, hostname } from "node:os";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import { MAX_TRAINER_ID_CHARACTERS } from "@gradpool/rpc";
import { DEVICE_WORDS, parseDevice, type DeviceRequest } from "@gradpool/runtime";
import { finishMsOf, listenAddress, readConfig, serviceAddresses, stopGraceSeconds } from "@gradpool/service-kit";
import { z } from "zod";

const schema = z.object({
  GRADPOOL_LISTEN: listenAddress,
  GRADPOOL_COORDINATOR_ADDRESS: serviceAddresses,
  GRADPOOL_TRAINER_ID: z
    .string()
    .regex(/^[\w.:-]+$/, "must be letters, digits, dots, colons, dashes or underscores")
    .max(MAX_TRAINER_ID_CHARACTERS, `must have at most ${MAX_TRAINER_ID_CHARACTERS} characters`)
    .default(() => `${hostname()}-${process.pid}`),
  GRADPOOL_THREADS: z.coerce
    .number("must be a number of threads from 1 to 1024")
    .int("must be a whole number of threads")
    .min(1, "must be at least 1 thread")
    .max(1024, "must be at most 1024 threads")
    .default(() => availableParallelism()),
  GRADPOOL_STOP_GRACE_SECONDS: stopGraceSeconds,
  GRADPOOL_DEVICE: z
    .string()
    .default("auto")
    .transform((text, context) => {
      const device = parseDevice(text);
      if (device) return device;
      context.addIssue({ code: "custom", message: `must be ${DEVICE_WORDS}` });
      return z.NEVER;
    }),
});

/** Variables it reads besides those of every service; docs and deployments are checked against them. */
export const variables: readonly string[] = Object.keys(schema.shape);

export interface TrainerConfig {
  /** "host:port" to listen on, for health checks. */
  listen: string;
  /** "host:port" of one or several coordinators. */
  coordinatorAddresses: string[];
  /** Unique in the pool, stable as long as the process lives. */
  trainerId: string;
  /** Threads that compute. */
  threads: number;
  device: DeviceRequest;
  /** How long the current micro-batch may take to finish when the trainer stops. */
  finishMs: number;
  /** The whole environment, which NVIDIA's driver and libraries read. */
  env: NodeJS.ProcessEnv;
  /** Where models are looked for and kept. */
  models: ModelPlaces;
}

/** Errors: `invalid_argument`, naming the variable. */
export function readTrainerConfig(env: NodeJS.ProcessEnv): TrainerConfig {
  const values = readConfig(schema, env);
  return {
    listen: values.GRADPOOL_LISTEN,
    coordinatorAddresses: values.GRADPOOL_COORDINATOR_ADDRESS,
    trainerId: values.GRADPOOL_TRAINER_ID,
    threads: values.GRADPOOL_THREADS,
    device: values.GRADPOOL_DEVICE,
    finishMs: finishMsOf(values.GRADPOOL_STOP_GRACE_SECONDS),
    env,
    models: modelPlaces(env),
  };
}

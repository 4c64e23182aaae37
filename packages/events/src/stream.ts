import type { StreamConfig } from "@nats-io/jetstream";
import { ALL_SUBJECTS } from "./event-types.js";

const NANOSECONDS = 1_000_000;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** A message id repeated within this time is not stored again. */
const DEDUPLICATION_MS = 10 * MINUTE_MS;
const MAX_AGE_MS = 30 * DAY_MS;
const MAX_BYTES = 1 << 30;

/** In a cluster: any server may be lost. */
export const CLUSTER_REPLICAS = 3;

/** Name of the stream that holds all events. */
export const STREAM = "GRADPOOL";

/**
 * The stream as created on a server of its own if there is none: in files, dropping the oldest events first. An existing
 * one is used as it is, so the operator of NATS may choose replicas and limits.
 */
export const STREAM_CONFIG = {
  name: STREAM,
  description: "What happens in gradpool: gradpool.v1.Event messages",
  subjects: [ALL_SUBJECTS],
  storage: "file",
  retention: "limits",
  discard: "old",
  num_replicas: 1,
  max_age: MAX_AGE_MS * NANOSECONDS,
  max_bytes: MAX_BYTES,
  duplicate_window: DEDUPLICATION_MS * NANOSECONDS,
  allow_direct: true,
} as const satisfies Partial<StreamConfig>;

import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  createClient,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { CoordinatorConfig } from "./config.js";

/** The services that a run needs. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  close(): void;
}

export function connectServices(config: CoordinatorConfig): Services {
  const tokenizer = createClient(TokenizerServiceService, config.tokenizerAddress);
  const dataStream = createClient(DataStreamServiceService, config.dataStreamAddress);
  const checkpointStore = createClient(CheckpointStoreServiceService, config.checkpointStoreAddress);
  const clients = [tokenizer, dataStream, checkpointStore];
  return { tokenizer, dataStream, checkpointStore, close: () => clients.forEach((client) => client.close()) };
}

/** How long a service may be away before a run fails, and the longest wait between two tries. */
const AWAY_MS = 30_000;
const LONGEST_WAIT_MS = 2_000;

/** Calls again while the service is unavailable, up to AWAY_MS. Any other error ends it at once. */
export async function whileAway<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const giveUpAt = Date.now() + AWAY_MS;
  for (let waitMs = 100; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await call();
    } catch (error) {
      const { code } = GradpoolError.from(error);
      if (code !== "unavailable" || signal.aborted || Date.now() + waitMs > giveUpAt) throw error;
    }
    await delay(waitMs, undefined, { signal });
  }
}

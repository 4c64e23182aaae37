import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import {
  CheckpointStoreServiceService,
  createClient,
  DataStreamServiceService,
  TokenizerServiceService,
  type Client,
} from "@gradpool/rpc";
import type { CoordinatorConfig } from "./config.js";

/** What a run needs: services, and a folder. */
export interface Services {
  tokenizer: Client<TokenizerServiceService>;
  dataStream: Client<DataStreamServiceService>;
  checkpointStore: Client<CheckpointStoreServiceService>;
  /** Absolute folder for converted models. */
  cacheDir: string;
  close(): void;
}

export function connectServices(config: CoordinatorConfig): Services {
  const tokenizer = createClient(TokenizerServiceService, config.tokenizerAddress);
  const dataStream = createClient(DataStreamServiceService, config.dataStreamAddress);
  const checkpointStore = createClient(CheckpointStoreServiceService, config.checkpointStoreAddress);
  const clients = [tokenizer, dataStream, checkpointStore];
  const close = () => clients.forEach((client) => client.close());
  return { tokenizer, dataStream, checkpointStore, cacheDir: config.cacheDir, close };
}

/** How long a service may be away before a run fails, and the waits between two tries. */
const AWAY_MS = 30_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

/** A service that stops cancels its calls, one that died breaks them. */
const AWAY: ReadonlySet<ErrorCode> = new Set(["unavailable", "cancelled"]);

/**
 * Calls the named service again while it is away, until it was away for AWAY_MS on end. A call that takes
 * long says `progressed` whenever it got further. Any other error ends it at once.
 */
export async function whileAway<T>(
  name: string,
  call: (progressed: () => void) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let awaySince: number | undefined;
  let waitMs = FIRST_WAIT_MS;
  const progressed = () => {
    awaySince = undefined;
    waitMs = FIRST_WAIT_MS;
  };
  for (;;) {
    signal.throwIfAborted();
    try {
      return await call(progressed);
    } catch (error) {
      const { code, message } = GradpoolError.from(error);
      if (!AWAY.has(code) || signal.aborted) throw error;
      const now = performance.now();
      awaySince ??= now;
      if (now + waitMs > awaySince + AWAY_MS) throw gone(name, message, error);
    }
    await delay(waitMs, undefined, { signal });
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  }
}

function gone(name: string, reason: string, cause: unknown): GradpoolError {
  const [line] = reason.split("\n");
  const message = `the ${name} service was away for ${AWAY_MS / 1000} s (${line}); start it, then submit the run again`;
  return new GradpoolError("unavailable", message, { cause });
}

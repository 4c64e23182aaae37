import { setTimeout as after } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2_000;

export interface ConnectionOptions {
  /** "host:port" of the coordinator, for messages. */
  address: string;
  log: Logger;
  /** Talks until the conversation ends; calls `onWelcome` when the coordinator answers. */
  converse: (onWelcome: () => void) => Promise<void>;
  /** Told when the coordinator answers, and when the conversation is over. */
  onChange: (isConnected: boolean) => void;
  stopping: AbortSignal;
}

/** Converses with the coordinator again and again, however long it is away, until `stopping`. */
export async function keepConnected(options: ConnectionOptions): Promise<void> {
  const { address, log, converse, onChange, stopping } = options;
  let retryMs = FIRST_RETRY_MS;
  // One line an outage, unless its reason changes.
  let logged: string | undefined;
  const onWelcome = () => {
    onChange(true);
    log.info({ coordinator: address }, "connected to the coordinator");
    retryMs = FIRST_RETRY_MS;
    logged = undefined;
  };
  while (!stopping.aborted) {
    const failure = await converse(onWelcome).catch((error: unknown) => GradpoolError.from(error));
    onChange(false);
    if (stopping.aborted) return;
    const reason = failure?.code ?? "ended";
    if (reason !== logged) {
      const why =
        reason === "unavailable" ? "cannot be reached" : `ended the conversation (${failure?.message ?? "it left"})`;
      log.warn(
        { reason, detail: failure?.message },
        `the coordinator at ${address} ${why}; trying again until it answers`,
      );
    }
    logged = reason;
    await after(retryMs, undefined, { signal: stopping }).catch(() => {});
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  }
}

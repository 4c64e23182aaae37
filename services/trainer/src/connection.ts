import { GradpoolError } from "@gradpool/errors";
import { Backoff, type Logger } from "@gradpool/service-kit";

const PAUSES = { firstMs: 100, longestMs: 2_000 };

export interface ConnectionOptions {
  /** "host:port" of the coordinator, for messages. */
  address: string;
  log: Logger;
  /** Runs a conversation to its end; calls `onWelcome` when the coordinator answers. */
  converse: (onWelcome: () => void) => Promise<void>;
  /** Called when the coordinator answers, and when the conversation has ended. */
  onChange: (isConnected: boolean) => void;
  stopping: AbortSignal;
}

/** Keeps a conversation with the coordinator, reconnecting however long it is unavailable, until `stopping`. */
export async function keepConnected(options: ConnectionOptions): Promise<void> {
  const { address, log, converse, onChange, stopping } = options;
  const backoff = new Backoff(PAUSES);
  // One line per outage, unless its reason changes.
  let logged: string | undefined;
  const onWelcome = () => {
    onChange(true);
    log.info({ coordinator: address }, "connected to the coordinator");
    backoff.reset();
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
      log.warn({ reason, detail: failure?.message }, `the coordinator at ${address} ${why}; retrying until it answers`);
    }
    logged = reason;
    await backoff.pause(stopping).catch(() => {});
  }
}

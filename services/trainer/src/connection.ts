import { GradpoolError } from "@gradpool/errors";
import { Backoff, type Logger } from "@gradpool/service-kit";

const PAUSES = { firstMs: 100, longestMs: 2_000 };

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
  const backoff = new Backoff(PAUSES);
  // One line an outage, unless its reason changes.
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
      log.warn(
        { reason, detail: failure?.message },
        `the coordinator at ${address} ${why}; trying again until it answers`,
      );
    }
    logged = reason;
    await backoff.pause(stopping).catch(() => {});
  }
}

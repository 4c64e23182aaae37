import { GradpoolError } from "@gradpool/errors";
import { Backoff, type Logger } from "@gradpool/service-kit";

const PAUSES = { firstMs: 100, longestMs: 2_000 };

export interface ConnectionOptions {
  /** "host:port" of the coordinator, for messages. */
  address: string;
  log: Logger;
  /**
   * Runs a conversation to its end; calls `onWelcome` when the coordinator answers. "known": it is connected by another
   * address, and was until now.
   */
  converse: (onWelcome: () => void) => Promise<"ended" | "known">;
  stopping: AbortSignal;
}

/** Keeps a conversation with a coordinator, reconnecting however long it is unavailable, until `stopping`. */
export async function keepConnected({ address, log, converse, stopping }: ConnectionOptions): Promise<void> {
  const backoff = new Backoff(PAUSES);
  // One line per outage, unless its reason changes.
  let logged: string | undefined;
  const onWelcome = () => {
    log.info({ coordinator: address }, "connected to the coordinator");
    backoff.reset();
    logged = undefined;
  };
  while (!stopping.aborted) {
    const end = await converse(onWelcome).catch((error: unknown) => GradpoolError.from(error));
    if (stopping.aborted) return;
    const failure = end instanceof GradpoolError ? end : undefined;
    const reason = failure?.code ?? "ended";
    if (end !== "known" && reason !== logged) {
      const why =
        reason === "unavailable" ? "cannot be reached" : `ended the conversation (${failure?.message ?? "it left"})`;
      log.warn({ reason, detail: failure?.message }, `the coordinator at ${address} ${why}; retrying until it answers`);
      logged = reason;
    }
    await backoff.pause(stopping).catch(() => {});
  }
}

import type { Logger } from "@gradpool/service-kit";
import type { RunCommands } from "./run-commands.js";

/** How often it looks, at the latest. */
const LOOK_EVERY_MS = 3_600_000;

/** Deletes runs some time after they ended, from the start on. */
export class Retention implements Disposable {
  readonly #timer: NodeJS.Timeout;

  constructor(commands: Pick<RunCommands, "deleteEndedBefore">, keepMs: number, log: Logger) {
    const look = async () => {
      const deleted = await commands.deleteEndedBefore(new Date(Date.now() - keepMs));
      if (deleted > 0) log.info({ deleted }, "deleted old runs; their output folders are kept");
    };
    const lookNow = () =>
      void look().catch((error: unknown) => log.error({ err: error }, "old runs cannot be deleted"));
    this.#timer = setInterval(lookNow, Math.min(keepMs, LOOK_EVERY_MS));
    lookNow();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

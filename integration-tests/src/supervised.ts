import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { startService, stop, type Process } from "./stack.js";

/** Between attempts to start a service, which may need what is away. */
const PAUSE_MS = 200;

/** A coordinator on a busy machine may lose its lease while it starts. */
const FIRST_TRIES = 3;

/** A service that is started again at its address whenever it ends. */
export class Supervised implements AsyncDisposable {
  #process: Process;
  readonly #checkout: string | undefined;
  #starts = 1;
  #isOver = false;

  private constructor(process: Process, checkout: string | undefined) {
    this.#process = process;
    this.#checkout = checkout;
    void this.#supervise();
  }

  /** `checkout`: the built checkout of gradpool that it is started from; this one unless given. */
  static async start(name: string, env: Record<string, string>, checkout?: string): Promise<Supervised> {
    for (let tries = 1; ; tries++) {
      try {
        return new Supervised(await startService(name, env, { checkout }), checkout);
      } catch (error) {
        if (tries === FIRST_TRIES) throw error;
      }
    }
  }

  /** "host:port". */
  get address(): string {
    return this.#process.address;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Lines of its log, of all its lives. */
  get log(): readonly string[] {
    return this.#process.log;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.child.kill(signal);
  }

  /** SIGTERM, unless it has ended already; it is started again. Gives its exit code. */
  stopInOrder(): Promise<number | null> {
    return stop(this.#process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.signal("SIGCONT");
    await stop(this.#process);
  }

  async #supervise(): Promise<void> {
    for (;;) {
      const { name, env, log, child } = this.#process;
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      while (child === this.#process.child) {
        if (this.#isOver) return;
        try {
          const again = await startService(name, env, { checkout: this.#checkout });
          again.log.unshift(...log);
          this.#process = again;
          this.#starts += 1;
          // Stopped meanwhile.
          if (this.#isOver) await stop(again);
        } catch (error) {
          log.push(String(error));
          await delay(PAUSE_MS);
        }
      }
    }
  }
}

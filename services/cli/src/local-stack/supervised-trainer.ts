import { setTimeout as delay } from "node:timers/promises";
import { ServiceProcess, type ServiceProcessOptions } from "./service-process.js";

/** Pauses before a trainer starts again, growing as long as it keeps ending. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** A trainer that lived so long begins with the first pause again. */
const HEALTHY_MS = 60_000;

/** A trainer process that is started again whenever it ends (I3: the others go on meanwhile). */
export class SupervisedTrainer implements AsyncDisposable {
  readonly #stopping = new AbortController();
  readonly #kept: Promise<void>;
  #process: ServiceProcess;

  private constructor(first: ServiceProcess, startAgain: (signal: AbortSignal) => Promise<ServiceProcess>, note: Note) {
    this.#process = first;
    this.#kept = this.#keepAlive(startAgain, note);
  }

  /** `options` gives each life its name and environment. Errors: as ServiceProcess.start, for the first start. */
  static async start(
    options: (life: number) => ServiceProcessOptions,
    signal: AbortSignal | undefined,
  ): Promise<SupervisedTrainer> {
    let life = 0;
    const start = (until: AbortSignal | undefined) => ServiceProcess.start({ ...options(life++), signal: until });
    const { note } = options(0);
    return new SupervisedTrainer(await start(signal), start, note);
  }

  get name(): string {
    return this.#process.name;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get address(): string {
    return this.#process.address;
  }

  get logPath(): string {
    return this.#process.logPath;
  }

  /** Ends the process at once; it is started again. */
  kill(): void {
    this.#process.kill();
  }

  /** Ends it for good, at once. */
  killForGood(): void {
    this.#stopping.abort();
    this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#process[Symbol.asyncDispose]();
    await this.#kept;
    await this.#process[Symbol.asyncDispose]();
  }

  async #keepAlive(startAgain: (signal: AbortSignal) => Promise<ServiceProcess>, note: Note): Promise<void> {
    const { signal } = this.#stopping;
    let pauseMs = FIRST_PAUSE_MS;
    let how: string;
    for (;;) {
      const begin = performance.now();
      how = await this.#process.ended;
      if (performance.now() - begin > HEALTHY_MS) pauseMs = FIRST_PAUSE_MS;
      while (!signal.aborted) {
        const { name, logPath } = this.#process;
        note(`${name} ended (${how}); it starts again in ${pauseMs / 1000} s, its log is ${logPath}`);
        try {
          await delay(pauseMs, undefined, { signal });
          pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
          this.#process = await startAgain(signal);
          break;
        } catch (error) {
          how = error instanceof Error ? error.message : String(error);
        }
      }
      if (signal.aborted) return;
    }
  }
}

type Note = (text: string) => void;

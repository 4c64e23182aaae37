/** A service that is restarted at its address whenever it ends unexpectedly, or does not answer for long (I3: the others continue meanwhile). */
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificates } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { Backoff, dialAddress, writePidFile } from "@gradpool/service-kit";
import { logEnd } from "./log-tail.js";
import { ServiceProcess, type ServiceProcessOptions } from "./service-process.js";

/** How a service that ended is brought back. */
export interface RestartPolicy {
  /** Pauses before it starts again, doubled as long as it keeps ending. */
  firstPauseMs: number;
  longestPauseMs: number;
  /** A life of this length, ready, is a good one: the first pause and a new count follow. */
  healthyMs: number;
  /** After this many restarts in a row without a good life it is given up. */
  mostRestarts: number;
  /** How often it is asked whether it is alive. */
  checkMs: number;
  /** One that has not answered for this long is killed: its loop is stuck. */
  stuckMs: number;
}

export interface SupervisedServiceOptions {
  /** "host:port" of the first life; port 0 takes any free one, and keeps it. */
  listen: string;
  /** The same for its HTTP port; undefined: it has none. */
  httpListen?: string | undefined;
  /** How to start it, by the number of its life, from 0, and the "host:port" to listen on. */
  processOptions: (life: number, listen: string, httpListen: string | undefined) => ServiceProcessOptions;
  /** Path of its pid file. */
  pidFile: string;
  policy: RestartPolicy;
  /** For asking it; undefined: in plain text. */
  tls?: Certificates | undefined;
  /** Called when it ended, and when it starts again. */
  note: (text: string) => void;
  /** Gives up the first start. */
  signal?: AbortSignal | undefined;
}

export class SupervisedService implements AsyncDisposable {
  /** Resolves when it is given up. */
  readonly failed: Promise<GradpoolError>;
  readonly #options: SupervisedServiceOptions;
  readonly #stopping = new AbortController();
  #kept: Promise<void> = Promise.resolve();
  #fail: (error: GradpoolError) => void = () => {};
  #process: ServiceProcess;
  #lives = 1;

  private constructor(options: SupervisedServiceOptions, first: ServiceProcess) {
    this.#options = options;
    this.#process = first;
    this.failed = new Promise((resolve) => (this.#fail = resolve));
  }

  /** Errors: as ServiceProcess.start, for the first start; then there is nothing to supervise. */
  static async start(options: SupervisedServiceOptions): Promise<SupervisedService> {
    const { listen, httpListen, processOptions, signal } = options;
    const first = await ServiceProcess.start({ ...processOptions(0, listen, httpListen), signal });
    const service = new SupervisedService(options, first);
    await service.#writePidFile();
    service.#kept = service.#keepAlive();
    return service;
  }

  get name(): string {
    return this.#process.name;
  }

  /** That of its present life, or of the last one. */
  get pid(): number {
    return this.#process.pid;
  }

  /** "host:port", the same in every life. */
  get address(): string {
    return this.#process.address;
  }

  /** The same of its HTTP port; undefined: it has none. */
  get httpAddress(): string | undefined {
    return this.#process.httpAddress;
  }

  /** Ends it for good, at once. */
  kill(): void {
    this.#stopping.abort();
    this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#process[Symbol.asyncDispose]();
    await this.#kept;
    // It may have started at the same moment.
    await this.#process[Symbol.asyncDispose]();
    await rm(this.#options.pidFile, { force: true });
  }

  async #keepAlive(): Promise<void> {
    const { policy, pidFile, note } = this.#options;
    const { name, logPath } = this.#process;
    const { signal } = this.#stopping;
    // Nothing else waits for this process: its pauses need no jitter.
    const backoff = new Backoff({ firstMs: policy.firstPauseMs, longestMs: policy.longestPauseMs }, () => 0);
    let restarts = 0;
    for (;;) {
      const begin = performance.now();
      const how = await this.#endOf(this.#process);
      if (signal.aborted) return;
      await rm(pidFile, { force: true });
      if (performance.now() - begin >= policy.healthyMs) {
        restarts = 0;
        backoff.reset();
      }
      let problem: string | undefined = `${name} ended (${how}); its log is ${logPath}`;
      while (problem !== undefined) {
        if (restarts === policy.mostRestarts) return this.#giveUp(problem);
        const pauseMs = backoff.nextMs();
        restarts += 1;
        note(`${problem}; restarting in ${pauseMs / 1000} s`);
        problem = await this.#startAgain(pauseMs);
        if (signal.aborted) return;
      }
    }
  }

  /** How the process ended; one that does not answer is killed. */
  async #endOf(process: ServiceProcess): Promise<string> {
    const { checkMs, stuckMs } = this.#options.policy;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const watch = async () => {
      for (let answeredAt = performance.now(); ;) {
        await delay(checkMs, undefined, { signal });
        const { answers } = await import("@gradpool/rpc");
        if (await answers(dialAddress(process.address), this.#options.tls)) answeredAt = performance.now();
        else if (performance.now() - answeredAt >= stuckMs) return process.kill(`no answer for ${stuckMs / 1000} s`);
      }
    };
    const watching = watch().catch(() => {});
    const how = await process.ended;
    over.abort();
    await watching;
    return how;
  }

  /** Gives the problem, or undefined when the service is back or was stopped meanwhile. */
  async #startAgain(pauseMs: number): Promise<string | undefined> {
    const { signal } = this.#stopping;
    try {
      await delay(pauseMs, undefined, { signal });
      const options = this.#options.processOptions(this.#lives++, this.address, this.httpAddress);
      // The end of its log is shown once, should it be given up.
      this.#process = await ServiceProcess.start({ ...options, note: () => {}, signal });
    } catch (error) {
      return signal.aborted ? undefined : GradpoolError.from(error).message;
    }
    await this.#writePidFile();
    return undefined;
  }

  async #giveUp(problem: string): Promise<void> {
    const { policy, note } = this.#options;
    const { name, logPath } = this.#process;
    const end = await logEnd(name, logPath);
    if (end) note(end);
    this.#fail(new GradpoolError("unavailable", `${problem}; ${policy.mostRestarts} restarts in a row did not help`));
  }

  /** A service is not given up because it cannot be listed. */
  async #writePidFile(): Promise<void> {
    const { pidFile, note } = this.#options;
    const { name, address, httpAddress, pid } = this.#process;
    await writePidFile(pidFile, { name, address, httpAddress, pid }).catch((error: unknown) =>
      note(`${pidFile} cannot be written (${GradpoolError.from(error).message}); pool status will not show ${name}`),
    );
  }
}

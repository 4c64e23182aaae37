/** One service as a child process. */
import { fork, type ChildProcess } from "node:child_process";
import { open } from "node:fs/promises";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { AWAIT_ENVIRONMENT, type EnvironmentMessage, type ServiceMessage } from "@gradpool/service-kit";
import { logEnd } from "./log-tail.js";

/** How long a service may take to say that it is ready. */
const START_TIMEOUT_MS = 60_000;

/** How long it may take to end when asked to; then it is killed. */
export const STOP_GRACE_MS = 10_000;

type Ready = Extract<ServiceMessage, { type: "ready" }>;

export interface ServiceProcessOptions {
  /** For people, such as "trainer-1". */
  name: string;
  /** File to run. */
  main: string;
  env: NodeJS.ProcessEnv;
  /** Further variables, which it waits for once its modules are loaded; undefined: there are none. */
  more?: Promise<EnvironmentMessage["variables"]> | undefined;
  logPath: string;
  /** Called with the end of the log when it ends before it is ready. */
  note: (text: string) => void;
  signal?: AbortSignal | undefined;
}

export class ServiceProcess implements AsyncDisposable {
  readonly name: string;
  readonly logPath: string;
  /** How it ended, such as "signal SIGKILL". */
  readonly ended: Promise<string>;
  /** "host:port"; empty until it is ready. */
  address = "";
  /** "host:port" of its HTTP port; undefined: it has none. */
  httpAddress: string | undefined;
  readonly #child: ChildProcess;
  /** Why it was killed. */
  #why: string | undefined;
  readonly #note: (text: string) => void;

  private constructor(child: ChildProcess, { name, logPath, note }: ServiceProcessOptions) {
    this.#child = child;
    this.name = name;
    this.logPath = logPath;
    this.#note = note;
    this.ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve(this.#why ?? (signal ? `signal ${signal}` : `exit code ${code}`)));
      child.once("error", (error) => resolve(error.message));
    });
  }

  /**
   * Starts a service and waits until it is ready. It ends by itself when this process is gone: its IPC
   * channel closes then. Errors: the service's own, or `unavailable` with the end of its log; that of `more`.
   */
  static async start(options: ServiceProcessOptions): Promise<ServiceProcess> {
    const { main, env, logPath, more, signal } = options;
    // It may fail while nobody waits for it yet.
    more?.catch(() => {});
    signal?.throwIfAborted();
    const log = await open(logPath, "a", 0o600);
    let service: ServiceProcess;
    try {
      // Detached: Ctrl-C in a terminal reaches this process alone, which ends the services in order.
      const child = fork(main, more ? [AWAIT_ENVIRONMENT] : [], {
        env,
        stdio: ["ignore", log.fd, log.fd, "ipc"],
        detached: true,
        execArgv: [],
      });
      service = new ServiceProcess(child, options);
    } finally {
      await log.close();
    }
    try {
      const [{ address, httpAddress }] = await Promise.all([
        service.#ready(signal),
        more?.then((variables) => service.#tell(variables)),
      ]);
      service.address = address;
      service.httpAddress = httpAddress;
    } catch (error) {
      service.kill();
      await service.ended;
      throw error;
    }
    return service;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  /** Ends it at once; `why` is then how it ended. */
  kill(why?: string): void {
    this.#why ??= why;
    this.#child.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isAlive) return;
    this.#child.kill("SIGTERM");
    const force = setTimeout(() => this.kill(), STOP_GRACE_MS);
    await this.ended;
    clearTimeout(force);
  }

  #tell(variables: EnvironmentMessage["variables"]): void {
    const message: EnvironmentMessage = { type: "environment", variables };
    // One that has ended by now shows as that.
    this.#child.send(message, () => {});
  }

  async #ready(signal: AbortSignal | undefined): Promise<Ready> {
    const settled = new AbortController();
    const until = AbortSignal.any([settled.signal, AbortSignal.timeout(START_TIMEOUT_MS), ...(signal ? [signal] : [])]);
    const message = new Promise<ServiceMessage>((resolve) => this.#child.once("message", resolve));
    const aborted = new Promise<"aborted">((resolve) =>
      until.addEventListener("abort", () => resolve("aborted"), { once: true }),
    );
    const first = await Promise.race([message, this.ended, aborted]);
    settled.abort();
    if (first === "aborted") {
      signal?.throwIfAborted();
      const advice = `its log is ${this.logPath}`;
      throw new GradpoolError(
        "deadline_exceeded",
        `${this.name} is not ready after ${START_TIMEOUT_MS / 1000} s; ${advice}`,
      );
    }
    if (typeof first === "string") {
      const end = await logEnd(this.name, this.logPath);
      if (end) this.#note(end);
      throw new GradpoolError("unavailable", `${this.name} ended (${first}); its log is ${this.logPath}`);
    }
    if (first.type === "failed") throw new GradpoolError(first.code as ErrorCode, `${this.name}: ${first.message}`);
    return first;
  }
}

/** All services on this machine, as child processes of this one. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { GradpoolError } from "@gradpool/errors";
import { entryPoint, type ServiceName } from "./entry-points.js";
import { createLogFolder } from "./log-folder.js";
import { ServiceProcess, type ServiceProcessOptions } from "./service-process.js";
import { SupervisedTrainer } from "./supervised-trainer.js";

export interface LocalStackOptions {
  /** Trainer processes; 1 unless given. */
  trainers?: number | undefined;
  /** Threads of each trainer; by default the cores are shared out. */
  threads?: number | undefined;
  /** Where the coordinator listens, "host:port"; any free port of 127.0.0.1 unless given. */
  listen?: string | undefined;
  /** First port of the other services; any free ones unless given. */
  servicePort?: number | undefined;
  /** Folder for logs. */
  home: string;
  /** Environment of the services. */
  env?: NodeJS.ProcessEnv | undefined;
  /** Told of what ends by itself, and where logs go instead of `home`. */
  note?: ((text: string) => void) | undefined;
  /** Gives up starting. */
  signal?: AbortSignal | undefined;
}

export interface StackAddresses {
  tokenizer: string;
  dataStream: string;
  checkpointStore: string;
  coordinator: string;
}

/** The services by the order in which the rest of the stack needs them. */
const SERVICE_ORDER = ["tokenizer", "checkpoint-store", "data-stream"] as const;

export class LocalStack implements AsyncDisposable {
  readonly trainers: SupervisedTrainer[] = [];
  /** All but the trainers, in the order of their start. */
  readonly services: ServiceProcess[] = [];
  /** Resolves when a service has ended that the stack cannot be without. */
  readonly failed: Promise<GradpoolError>;
  readonly logFolder: string;
  readonly #note: (text: string) => void;
  #fail: (error: GradpoolError) => void = () => {};
  #stopping = false;

  private constructor(
    private readonly options: LocalStackOptions,
    logFolder: string,
  ) {
    this.logFolder = logFolder;
    this.#note = options.note ?? (() => {});
    this.failed = new Promise((resolve) => (this.#fail = resolve));
  }

  /**
   * Starts everything and returns when all of it is ready. Errors: those of the services, with nothing
   * left running.
   */
  static async start(options: LocalStackOptions): Promise<LocalStack> {
    const { path, fallback } = await createLogFolder(options.home, new Date());
    if (fallback) options.note?.(fallback);
    const stack = new LocalStack(options, path);
    try {
      await stack.#startAll();
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  get addresses(): StackAddresses {
    return {
      tokenizer: this.#addressOf("tokenizer"),
      dataStream: this.#addressOf("data-stream"),
      checkpointStore: this.#addressOf("checkpoint-store"),
      coordinator: this.#addressOf("coordinator"),
    };
  }

  /** Ends everything at once, and returns when it has ended. */
  async kill(): Promise<void> {
    this.#stopping = true;
    for (const trainer of this.trainers) trainer.killForGood();
    for (const service of this.services) service.kill();
    await this[Symbol.asyncDispose]();
  }

  /** Ends trainers first and what they need last. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.trainers.map((trainer) => trainer[Symbol.asyncDispose]()));
    for (const service of this.services.toReversed()) await service[Symbol.asyncDispose]();
  }

  async #startAll(): Promise<void> {
    const { listen = "127.0.0.1:0", servicePort, trainers = 1 } = this.options;
    const portOf = (name: (typeof SERVICE_ORDER)[number]) =>
      servicePort === undefined ? 0 : servicePort + SERVICE_ORDER.indexOf(name);
    const listenOf = (name: (typeof SERVICE_ORDER)[number]) => ({ GRADPOOL_LISTEN: `127.0.0.1:${portOf(name)}` });
    await settle([
      this.#startService("tokenizer", listenOf("tokenizer")),
      this.#startService("checkpoint-store", listenOf("checkpoint-store")),
    ]);
    const tokenizer = { GRADPOOL_TOKENIZER_ADDRESS: this.#addressOf("tokenizer") };
    await this.#startService("data-stream", { ...listenOf("data-stream"), ...tokenizer });
    await this.#startService("coordinator", {
      GRADPOOL_LISTEN: listen,
      ...tokenizer,
      GRADPOOL_DATA_STREAM_ADDRESS: this.#addressOf("data-stream"),
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: this.#addressOf("checkpoint-store"),
    });
    await settle(Array.from({ length: trainers }, (_, i) => this.#startTrainer(i + 1, trainers)));
  }

  async #startService(service: ServiceName, env: NodeJS.ProcessEnv): Promise<void> {
    const started = await ServiceProcess.start(this.#processOptions(service, service, env));
    this.services.push(started);
    void started.ended.then(async (how) => {
      if (!this.#stopping) this.#fail(await started.failure(how));
    });
  }

  async #startTrainer(index: number, trainers: number): Promise<void> {
    const threads = this.options.threads ?? Math.max(1, Math.floor(availableParallelism() / trainers));
    const name = `trainer-${index}`;
    const options = (life: number) =>
      this.#processOptions("trainer", name, {
        GRADPOOL_LISTEN: "127.0.0.1:0",
        GRADPOOL_COORDINATOR_ADDRESS: this.#addressOf("coordinator"),
        GRADPOOL_TRAINER_ID: life === 0 ? name : `${name}.${life}`,
        GRADPOOL_THREADS: String(threads),
      });
    this.trainers.push(await SupervisedTrainer.start(options, this.options.signal));
  }

  #processOptions(service: ServiceName, name: string, env: NodeJS.ProcessEnv): ServiceProcessOptions {
    return {
      name,
      main: entryPoint(service),
      env: { ...(this.options.env ?? process.env), ...env },
      logPath: join(this.logFolder, `${name}.log`),
      note: this.#note,
      signal: this.options.signal,
    };
  }

  #addressOf(name: ServiceName): string {
    const address = this.services.find((service) => service.name === name)?.address;
    if (!address) throw new Error(`${name} has not been started`);
    // A wildcard is no address to dial.
    return address.replace(/^(0\.0\.0\.0|\[::\]|::):/, "127.0.0.1:");
  }
}

/** Waits for all, so that nothing is still starting when the first error is thrown. */
async function settle(starts: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(starts);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** Starts a local stack; see LocalStack.start. */
export function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  return LocalStack.start(options);
}

/** All services on this machine, as child processes of this one. */
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import {
  Certificates,
  checkListen,
  forgetKey,
  hostAndPort,
  keepKey,
  keepTlsFiles,
  localKeyFile,
  rootsEnvironment,
  tlsEnvironment,
  type PoolKey,
  type Roots,
  type TlsFiles,
} from "@gradpool/access";
import type { GradpoolError } from "@gradpool/errors";
import type { DeviceRequest } from "@gradpool/runtime";
import { dialAddress, type EnvironmentMessage } from "@gradpool/service-kit";
import { entryPoint, type ServiceName } from "./entry-points.js";
import { createPrivateFolders, createRunStoreFolder, createStackFolders, type StackFolders } from "./stack-folders.js";
import { orphansEnded, pidPath } from "./stack-processes.js";
import { stackRoots } from "./stack-roots.js";
import { trainerDevices } from "./trainer-devices.js";
import { STOP_GRACE_MS } from "./service-process.js";
import { SupervisedService, type RestartPolicy } from "./supervised-service.js";

export interface LocalStackOptions {
  /** Trainer processes; 1 unless given. */
  trainers?: number | undefined;
  /** Threads of each trainer; by default the cores are divided among them. */
  threads?: number | undefined;
  /** Where the trainers compute; as "auto" unless given. */
  device?: DeviceRequest | undefined;
  /**
   * Where the coordinator listens, "host:port"; any free port of 127.0.0.1 unless given. The runs of a
   * stack with a given port outlive it: the next one there resumes them.
   */
  listen?: string | undefined;
  /** Where the coordinator listens for HTTP, "host:port"; nowhere unless given. */
  httpListen?: string | undefined;
  /** The other services get an HTTP port each, any free one, for their metrics. */
  metrics?: boolean | undefined;
  /** First port of the other services; any free ones unless given. */
  servicePort?: number | undefined;
  /** At most this many seconds of a run's work are repeated after a crash; 0: no recovery points. 30 unless given. */
  recoverySeconds?: number | undefined;
  /**
   * Folder for logs, pid files and the runs of stacks with a given port. When it cannot be written, a stack is refused,
   * unless nobody gave it an address: it works in the system's temporary folder.
   */
  home: string;
  /** The pool's key; its own unless given. */
  key?: PoolKey | undefined;
  /** Certificates of all its services; connections are plain text unless given. */
  tls?: TlsFiles | undefined;
  /** Plain text may cross networks. */
  isInsecure?: boolean | undefined;
  /** Environment of the services. */
  env?: NodeJS.ProcessEnv | undefined;
  /** Called when a service ends unexpectedly, and when logs go elsewhere than to `home`. */
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

/** Half a minute in all. */
const SERVICE_RESTARTS: RestartPolicy = {
  firstPauseMs: 250,
  longestPauseMs: 30_000,
  healthyMs: 5_000,
  mostRestarts: 7,
  checkMs: 5_000,
  stuckMs: 30_000,
};

/** The stack works without a trainer for a while; one that its work kills dies only after some time. */
const TRAINER_RESTARTS: RestartPolicy = { ...SERVICE_RESTARTS, healthyMs: 60_000, mostRestarts: Infinity };

export const DEFAULT_RECOVERY_SECONDS = 30;

/** A person waits for the stack to end. */
const STOP_GRACE = { GRADPOOL_STOP_GRACE_SECONDS: String(STOP_GRACE_MS / 1000) };

const ANY_PORT = "127.0.0.1:0";

export class LocalStack implements AsyncDisposable {
  readonly trainers: SupervisedService[] = [];
  /** All but the trainers, in the order of their start. */
  readonly services: SupervisedService[] = [];
  /** Resolves when a service that the stack needs does not come back. */
  readonly failed: Promise<GradpoolError>;
  readonly #options: LocalStackOptions;
  readonly #folders: StackFolders;
  readonly #note: (text: string) => void;
  /** For asking services whether they are alive. */
  readonly #tls: Certificates | undefined;
  /** What runs may name. */
  readonly #roots: Roots;
  /** Of each trainer. */
  readonly #devices: readonly string[];
  #fail: (error: GradpoolError) => void = () => {};
  /** What the services read. */
  #serviceKeyFile = "";
  #keyFile = "";

  private constructor(options: LocalStackOptions, folders: StackFolders, devices: readonly string[]) {
    this.#devices = devices;
    this.#options = options;
    this.#tls = options.tls && new Certificates(options.tls);
    this.#roots = stackRoots(options);
    this.#folders = folders;
    this.#note = options.note ?? (() => {});
    this.failed = new Promise((resolve) => (this.#fail = resolve));
  }

  /**
   * Starts everything and returns when all of it is ready. Errors: those of the services, with nothing
   * left running; those of createStackFolders; `failed_precondition` when there are not as many CUDA devices as
   * trainers that ask for one; those of checkListen and Certificates.
   */
  static async start(options: LocalStackOptions): Promise<LocalStack> {
    const { trainers = 1, device = { kind: "auto" }, env = process.env, note } = options;
    if (options.listen !== undefined) checkListen(options.listen, options, "--listen");
    const devices = await trainerDevices(device, trainers, env, note);
    await orphansEnded(options.home, options.signal);
    const create = options.listen === undefined ? createPrivateFolders : createStackFolders;
    const folders = await create(options.home, new Date(), note ?? (() => {}));
    const stack = new LocalStack(options, folders, devices);
    try {
      await stack.#startAll();
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  get logFolder(): string {
    return this.#folders.logs;
  }

  /** The file in which clients of this machine find the pool's key. */
  get keyFile(): string {
    return this.#keyFile;
  }

  /** "host:port" of the coordinator's HTTP port, where the dashboard is; undefined: it has none. */
  get httpAddress(): string | undefined {
    return this.services.find(({ name }) => name === "coordinator")?.httpAddress;
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
    for (const service of [...this.trainers, ...this.services]) service.kill();
    await this[Symbol.asyncDispose]();
  }

  /** Ends the coordinator while trainers can finish its steps, then these, and what all of them need last. */
  async [Symbol.asyncDispose](): Promise<void> {
    const [others, last] = [this.services.slice(0, SERVICE_ORDER.length), this.services.slice(SERVICE_ORDER.length)];
    for (const coordinator of last) await coordinator[Symbol.asyncDispose]();
    await Promise.all(this.trainers.map((trainer) => trainer[Symbol.asyncDispose]()));
    for (const service of others.toReversed()) await service[Symbol.asyncDispose]();
    this.#tls?.[Symbol.dispose]();
    await rm(this.#folders.run, { recursive: true, force: true });
    // A pool at any port leaves nothing there; one at a given port keeps its key.
    if (this.#keyFile === this.#serviceKeyFile) return;
    await keepTlsFiles(this.#folders.home, basename(dirname(this.#keyFile)), undefined);
    await forgetKey(this.#keyFile);
  }

  async #startAll(): Promise<void> {
    const { listen = ANY_PORT, servicePort, recoverySeconds = DEFAULT_RECOVERY_SECONDS } = this.#options;
    const listenOf = (name: (typeof SERVICE_ORDER)[number]) =>
      servicePort === undefined ? ANY_PORT : `127.0.0.1:${servicePort + SERVICE_ORDER.indexOf(name)}`;
    const { port } = hostAndPort(listen);
    const runStore = await this.#runStore(listen);
    this.#keyFile = Number(port) === 0 ? join(this.#folders.run, "key") : localKeyFile(this.#folders.home, port);
    this.#serviceKeyFile = this.#keyFile;
    const key = await keepKey(this.#keyFile, this.#options.key);
    if (Number(port) !== 0) await keepTlsFiles(this.#folders.home, port, this.#options.tls);
    // All at once: each loads its modules, and then waits for the addresses that it needs.
    const tokenizer = this.#startService("tokenizer", listenOf("tokenizer"));
    const store = this.#startService("checkpoint-store", listenOf("checkpoint-store"));
    const data = this.#startService("data-stream", listenOf("data-stream"), {}, async () => ({
      GRADPOOL_TOKENIZER_ADDRESS: await tokenizer,
    }));
    const known = { GRADPOOL_STORE: runStore, GRADPOOL_RECOVERY_SECONDS: String(recoverySeconds) };
    const coordinator = this.#startService("coordinator", listen, known, async () => ({
      GRADPOOL_TOKENIZER_ADDRESS: await tokenizer,
      GRADPOOL_DATA_STREAM_ADDRESS: await data,
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: await store,
    }));
    const trainers = this.#devices.map((device, i) => this.#startTrainer(i + 1, device, coordinator));
    await settle([tokenizer, store, data, coordinator, ...trainers]);
    if (Number(port) === 0) {
      const { port } = hostAndPort(this.#addressOf("coordinator"));
      this.#keyFile = localKeyFile(this.#folders.home, port);
      await keepKey(this.#keyFile, key);
      await keepTlsFiles(this.#folders.home, port, this.#options.tls);
    }
  }

  /** Gives its address, once it is ready. */
  async #startService(name: ServiceName, listen: string, known: Environment = {}, more?: Variables): Promise<string> {
    const httpListen = name === "coordinator" ? this.#options.httpListen : this.#metricsListen;
    const service = await this.#start({
      service: name,
      name,
      listen,
      httpListen,
      policy: SERVICE_RESTARTS,
      known,
      more,
    });
    this.services.push(service);
    void service.failed.then(this.#fail);
    return this.#addressOf(name);
  }

  async #startTrainer(index: number, device: string, coordinator: Promise<string>): Promise<void> {
    const threads = this.#options.threads ?? Math.max(1, Math.floor(availableParallelism() / this.#devices.length));
    const name = `trainer-${index}`;
    const trainer = await this.#start({
      ...{ service: "trainer", name, listen: ANY_PORT, httpListen: this.#metricsListen, policy: TRAINER_RESTARTS },
      known: { GRADPOOL_THREADS: String(threads), GRADPOOL_DEVICE: device },
      more: async (life) => ({
        GRADPOOL_COORDINATOR_ADDRESS: await coordinator,
        GRADPOOL_TRAINER_ID: life === 0 ? name : `${name}.${life}`,
      }),
    });
    this.trainers.push(trainer);
  }

  #start({ service, name, known, more, policy, ...listens }: StartOptions): Promise<SupervisedService> {
    const { env = process.env, signal } = this.#options;
    const processOptions = (life: number, address: string, httpAddress: string | undefined) => ({
      name,
      main: entryPoint(service),
      // One HTTP port for all, as the environment may name, is taken by the first; one name makes all traces one service's.
      env: {
        ...env,
        OTEL_SERVICE_NAME: undefined,
        // One place for the key: no child's environment holds it.
        GRADPOOL_KEY: undefined,
        // What GRADPOOL_STORE was called before.
        GRADPOOL_RUN_STORE: undefined,
        GRADPOOL_KEY_FILE: this.#serviceKeyFile,
        ...tlsEnvironment(this.#options.tls, this.#options.isInsecure === true),
        ...rootsEnvironment(this.#roots),
        GRADPOOL_LISTEN: address,
        GRADPOOL_HTTP_LISTEN: httpAddress,
        ...known,
        ...STOP_GRACE,
      },
      more: more?.(life),
      logPath: join(this.#folders.logs, `${name}.log`),
      note: this.#note,
    });
    const pidFile = pidPath(this.#folders.run, name);
    return SupervisedService.start({
      ...{ ...listens, processOptions, pidFile, policy, signal },
      ...{ tls: this.#tls, note: this.#note },
    });
  }

  get #metricsListen(): string | undefined {
    return this.#options.metrics ? ANY_PORT : undefined;
  }

  /** Path of the coordinator's database: that of its port, or, when that is any, of this stack alone. */
  async #runStore(listen: string): Promise<string> {
    const { port } = hostAndPort(listen);
    const { home, logs } = this.#folders;
    const path = join(Number(port) === 0 ? logs : join(home, "pools", port), "runs.sqlite");
    await createRunStoreFolder(dirname(path));
    return path;
  }

  #addressOf(name: ServiceName): string {
    const address = this.services.find((service) => service.name === name)?.address;
    if (!address) throw new Error(`${name} has not been started`);
    return dialAddress(address);
  }
}

interface StartOptions {
  service: ServiceName;
  name: string;
  listen: string;
  httpListen: string | undefined;
  policy: RestartPolicy;
  /** Variables that are known before it starts. */
  known: Environment;
  more: Variables | undefined;
}

/** What a service is told once the others are ready, by the number of its life. */
type Variables = (life: number) => Promise<Environment>;

type Environment = EnvironmentMessage["variables"];

/** Waits for all, so that nothing is still starting when the first error is thrown. */
async function settle(starts: Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(starts);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** Starts a local stack; see LocalStack.start. */
export function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  return LocalStack.start(options);
}

/** The real services as child processes, as the local stack starts them; trainers can be added and killed. */
import { fork, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  createClient,
  EventServiceService,
  PoolKey,
  PoolServiceService,
  RunServiceService,
  RunState,
  withKey,
  type Client,
  type Run,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import { watchRun, type Finished } from "./watch-run.js";

/** Of every stack: a test may ask any of them. */
export const STACK_KEY = PoolKey.random();
/** Of this project. */
export const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));

const keyed = [withKey(() => STACK_KEY)];

let home: string | undefined;

/** Has the caches of the services that this process starts, instead of the user's own home. */
function homeOfServices(): string {
  if (home) return home;
  const folder = mkdtempSync(join(tmpdir(), "gradpool-home-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return (home = folder);
}

export interface Process {
  name: string;
  env: Record<string, string>;
  address: string;
  /** Address of its HTTP port; undefined if it has none. */
  httpAddress: string | undefined;
  child: ChildProcess;
  /** Lines of its log, each a JSON object. */
  log: string[];
}

export interface ServiceOptions {
  /** Its log goes there. */
  logFile?: string | undefined;
  /** A built checkout of gradpool; this one unless given. */
  checkout?: string | undefined;
}

/** Starts a service and waits until it listens. */
export async function startService(
  name: string,
  env: Record<string, string>,
  { logFile, checkout = CHECKOUT }: ServiceOptions = {},
): Promise<Process> {
  const child = fork(join(checkout, `services/${name}/dist/bin/main.js`), {
    env: { ...process.env, GRADPOOL_HOME: homeOfServices(), GRADPOOL_KEY: STACK_KEY.reveal(), ...env },
    stdio: ["ignore", "ignore", logFile === undefined ? "pipe" : openSync(logFile, "a"), "ipc"],
  });
  const log: string[] = [];
  if (child.stderr) createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  const exited = once(child, "exit").then(() => {
    throw new Error(`${name} ended before it was ready: ${log.join("\n")}`);
  });
  const [message] = (await Promise.race([once(child, "message"), exited])) as [
    { type: string; address: string; httpAddress?: string; message?: string },
  ];
  exited.catch(() => {});
  if (message.type !== "ready") throw new Error(`${name}: ${message.message ?? "failed"}`);
  const { address, httpAddress } = message;
  return { name, env: { ...env, GRADPOOL_LISTEN: address }, address, httpAddress, child, log };
}

async function kill({ child }: Process): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** Sends SIGTERM; returns the exit code, null if a signal ended it. */
export async function stop({ child }: Process): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, "exit") as Promise<[number | null]>;
  child.kill("SIGTERM");
  return (await exited)[0];
}

/** A line of a trainer's log; the run is set if it is about one. */
export interface TrainerLine {
  msg: string;
  runId?: string;
  accepted?: boolean;
}

export interface StackOptions {
  trainers: number;
  /** File or postgres:// URL of the coordinator's runs; without it they are kept only in memory. */
  runStore?: string;
  recoverySeconds?: number;
  /** Where events are sent. */
  natsUrl?: string;
  /** Where the coordinator's log goes in its first life. */
  coordinatorLog?: string;
  /** The coordinator has an HTTP port. */
  http?: boolean;
  trainerEnv?: Record<string, string>;
}

export class Stack implements AsyncDisposable {
  /** All services except the trainers and the coordinator. */
  readonly #processes: Process[];
  readonly #trainers: Process[] = [];
  /** Stopped in order. */
  readonly #ended: Process[] = [];
  readonly #coordinatorEnv: Record<string, string>;
  #coordinator: Process;
  readonly runs: Client<RunServiceService>;
  readonly pool: Client<PoolServiceService>;
  readonly events: Client<EventServiceService>;

  private constructor(
    processes: Process[],
    coordinator: Process,
    coordinatorEnv: Record<string, string>,
    private readonly trainerEnv: Record<string, string> = {},
  ) {
    this.#processes = processes;
    this.#coordinator = coordinator;
    this.#coordinatorEnv = { ...coordinatorEnv, GRADPOOL_LISTEN: coordinator.address };
    if (coordinator.httpAddress) this.#coordinatorEnv["GRADPOOL_HTTP_LISTEN"] = coordinator.httpAddress;
    this.runs = createClient(RunServiceService, coordinator.address, keyed);
    this.pool = createClient(PoolServiceService, coordinator.address, keyed);
    this.events = createClient(EventServiceService, coordinator.address, keyed);
  }

  static async start(options: StackOptions): Promise<Stack> {
    const [tokenizer, store] = await Promise.all([startService("tokenizer", {}), startService("checkpoint-store", {})]);
    const tokenizerAddress = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address };
    const data = await startService("data-stream", tokenizerAddress);
    const { runStore, recoverySeconds = 0, natsUrl, http = false } = options;
    const coordinatorEnv = {
      ...tokenizerAddress,
      GRADPOOL_DATA_STREAM_ADDRESS: data.address,
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: store.address,
      GRADPOOL_RECOVERY_SECONDS: String(recoverySeconds),
      ...(runStore && { GRADPOOL_STORE: runStore }),
      ...(natsUrl && { NATS_URL: natsUrl }),
      ...(http && { GRADPOOL_HTTP_LISTEN: "127.0.0.1:0" }),
    };
    const coordinator = await startService("coordinator", coordinatorEnv, { logFile: options.coordinatorLog });
    const stack = new Stack([tokenizer, store, data], coordinator, coordinatorEnv, options.trainerEnv);
    await Promise.all(Array.from({ length: options.trainers }, () => stack.addTrainer()));
    return stack;
  }

  /** "host:port" of the coordinator. */
  get address(): string {
    return this.#coordinator.address;
  }

  get dataStreamAddress(): string {
    return this.#processes.find(({ name }) => name === "data-stream")!.address;
  }

  /** "host:port" of the coordinator's HTTP port. */
  get httpAddress(): string {
    if (!this.#coordinator.httpAddress) throw new Error("the stack was started without an HTTP port");
    return this.#coordinator.httpAddress;
  }

  async addTrainer(threads = 1, env: Record<string, string> = {}): Promise<void> {
    this.#trainers.push(
      await startService("trainer", {
        GRADPOOL_COORDINATOR_ADDRESS: this.#coordinator.address,
        GRADPOOL_THREADS: String(threads),
        ...this.trainerEnv,
        ...env,
      }),
    );
  }

  /** kill -9 of the oldest living trainer. */
  async killTrainer(): Promise<void> {
    const victim = this.#trainers.shift();
    if (!victim) throw new Error("there is no trainer to kill");
    await kill(victim);
  }

  /** kill -9 of the coordinator; another starts at its address when `meanwhile` is over. */
  async restartCoordinator(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await kill(this.#coordinator);
    await meanwhile();
    this.#coordinator = await startService("coordinator", this.#coordinatorEnv);
  }

  /** Sends SIGTERM to a service, which restarts at its address once it has ended; returns the exit code. */
  async stopInOrder(name: "coordinator" | "trainer" | "data-stream" | "tokenizer" | "checkpoint-store") {
    const found = [this.#coordinator, ...this.#trainers, ...this.#processes].find((one) => one.name === name);
    if (!found) throw new Error(`there is no ${name}`);
    const code = await stop(found);
    const again = await startService(name, found.env);
    if (found === this.#coordinator) this.#coordinator = again;
    for (const list of [this.#trainers, this.#processes]) {
      if (list.includes(found)) list.splice(list.indexOf(found), 1, again);
    }
    this.#ended.push(found);
    return code;
  }

  /** What all trainers logged, including those that have ended, at the level of GRADPOOL_LOG_LEVEL. */
  get trainerLines(): TrainerLine[] {
    const all = [...this.#ended, ...this.#trainers].filter(({ name }) => name === "trainer");
    return all.flatMap(({ log }) => log.map((line) => JSON.parse(line) as TrainerLine));
  }

  /** Messages of the trainers' logs, trainer by trainer. */
  get trainerLogs(): string[][] {
    return this.#trainers.map(({ log }) => log.map((line) => (JSON.parse(line) as { msg: string }).msg));
  }

  /** Lines of the coordinator's log, since it last started. */
  get coordinatorLog(): readonly string[] {
    return this.#coordinator.log;
  }

  /** Seconds of CPU time that the coordinator has used (Linux). */
  coordinatorCpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#coordinator.child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    // utime and stime, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  async submit(spec: RunSpec): Promise<Run> {
    const { run } = await this.runs.submitRun({ requestId: randomUUID(), spec });
    if (!run) throw new Error("the coordinator gave no run");
    return run;
  }

  /** Follows a run to its end; `onStep` is awaited at each step. */
  async watch(runId: string, onStep?: (step: StepMetrics) => Promise<void> | void): Promise<Finished> {
    return watchRun(this.runs, runId, onStep);
  }

  /** Submits and follows; the run must complete. */
  async train(spec: RunSpec, onStep?: (step: StepMetrics) => Promise<void> | void): Promise<Finished> {
    const { runId } = await this.submit(spec);
    const finished = await this.watch(runId, onStep);
    if (finished.run.state !== RunState.RUN_STATE_COMPLETED) {
      throw new Error(`${finished.run.state}: ${finished.run.error?.message ?? ""}`);
    }
    return finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.runs.close();
    this.pool.close();
    this.events.close();
    await Promise.all([...this.#trainers, this.#coordinator, ...this.#processes].map(stop));
  }
}

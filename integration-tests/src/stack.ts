/** The real services as child processes, as the local stack starts them, with trainers to add and to kill. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  createClient,
  PoolServiceService,
  RunServiceService,
  RunState,
  type Client,
  type Run,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import { randomUUID } from "node:crypto";

interface Process {
  address: string;
  child: ChildProcess;
  /** Lines of its log, each a JSON object. */
  log: string[];
}

/** Starts a service and waits until it listens. */
async function startService(name: string, env: Record<string, string>): Promise<Process> {
  const main = fileURLToPath(new URL(`../../../services/${name}/dist/src/main.js`, import.meta.url));
  const child = fork(main, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe", "ipc"] });
  const log: string[] = [];
  if (child.stderr) createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  const exited = once(child, "exit").then(() => {
    throw new Error(`${name} ended before it was ready: ${log.join("\n")}`);
  });
  const [message] = (await Promise.race([once(child, "message"), exited])) as [
    { type: string; address: string; message?: string },
  ];
  exited.catch(() => {});
  if (message.type !== "ready") throw new Error(`${name}: ${message.message ?? "failed"}`);
  return { address: message.address, child, log };
}

async function stop({ child }: Process): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

export interface Finished {
  run: Run;
  steps: StepMetrics[];
}

export class Stack implements AsyncDisposable {
  readonly #processes: Process[];
  readonly #trainers: Process[] = [];
  readonly #coordinator: Process;
  readonly runs: Client<RunServiceService>;
  readonly pool: Client<PoolServiceService>;

  private constructor(processes: Process[], coordinator: Process) {
    this.#processes = processes;
    this.#coordinator = coordinator;
    this.runs = createClient(RunServiceService, coordinator.address);
    this.pool = createClient(PoolServiceService, coordinator.address);
  }

  static async start(options: { trainers: number }): Promise<Stack> {
    const [tokenizer, store] = await Promise.all([startService("tokenizer", {}), startService("checkpoint-store", {})]);
    const tokenizerAddress = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address };
    const data = await startService("data-stream", tokenizerAddress);
    const coordinator = await startService("coordinator", {
      ...tokenizerAddress,
      GRADPOOL_DATA_STREAM_ADDRESS: data.address,
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: store.address,
    });
    const stack = new Stack([tokenizer, store, data, coordinator], coordinator);
    await Promise.all(Array.from({ length: options.trainers }, () => stack.addTrainer()));
    return stack;
  }

  /** "host:port" of the coordinator. */
  get address(): string {
    return this.#coordinator.address;
  }

  async addTrainer(threads = 1): Promise<void> {
    this.#trainers.push(
      await startService("trainer", {
        GRADPOOL_COORDINATOR_ADDRESS: this.#coordinator.address,
        GRADPOOL_THREADS: String(threads),
      }),
    );
  }

  /** kill -9 of the oldest trainer that lives. */
  async killTrainer(): Promise<void> {
    const victim = this.#trainers.shift();
    if (!victim) throw new Error("there is no trainer to kill");
    const exited = once(victim.child, "exit");
    victim.child.kill("SIGKILL");
    await exited;
  }

  /** Messages of the trainers' logs, trainer by trainer. */
  get trainerLogs(): string[][] {
    return this.#trainers.map(({ log }) => log.map((line) => (JSON.parse(line) as { msg: string }).msg));
  }

  /** Seconds of processor time that the coordinator has used (Linux). */
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
    const steps: StepMetrics[] = [];
    let last: Run | undefined;
    for await (const { update } of this.runs.watchRun({ runId, afterStep: 0 })) {
      if (update?.$case === "run") last = update.value;
      if (update?.$case !== "step") continue;
      steps.push(update.value);
      await onStep?.(update.value);
    }
    if (!last) throw new Error("the run was never seen");
    return { run: last, steps };
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
    await Promise.all([...this.#trainers, ...this.#processes].map(stop));
  }
}

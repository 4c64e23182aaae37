/** Several coordinators on one PostgreSQL, with the services and trainers that they share, as processes that are started again. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { createClient, RunServiceService, withKey, type Client, type RunSpec, type StepMetrics } from "@gradpool/rpc";
import { PostgresServer } from "./postgres.js";
import { STACK_KEY, startService, stop, type Process } from "./stack.js";
import { watchRun, type Finished } from "./watch-run.js";

export interface CoordinatorsOptions {
  coordinators: number;
  /** Of the coordinators' leases. */
  leaseSeconds?: number;
  recoverySeconds?: number;
  /** Where coordinator `i` finds the run store; unless given, at the PostgreSQL server itself. */
  storeOf?: (i: number, url: string) => string;
  /** The built checkout of gradpool that coordinator `i` is started from; this one unless given. */
  checkoutOf?: (i: number) => string | undefined;
  coordinatorEnv?: Record<string, string>;
}

interface Member {
  process: Process;
  client: Client<RunServiceService>;
  /** How often it was started. */
  starts: number;
}

export class Coordinators implements AsyncDisposable {
  readonly postgres: PostgresServer;
  readonly #services: Process[];
  #members: Member[] = [];
  readonly #trainers: Process[] = [];
  #isOver = false;

  private constructor(postgres: PostgresServer, services: Process[]) {
    this.postgres = postgres;
    this.#services = services;
  }

  static async start(options: CoordinatorsOptions): Promise<Coordinators> {
    const { coordinators, leaseSeconds = 1, recoverySeconds = 0.2, storeOf = (_, url) => url } = options;
    const postgres = await PostgresServer.start();
    const [tokenizer, store] = await Promise.all([startService("tokenizer", {}), startService("checkpoint-store", {})]);
    const tokenizerAddress = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address };
    const data = await startService("data-stream", tokenizerAddress);
    const pool = new Coordinators(postgres, [tokenizer, store, data]);
    const environments = Array.from({ length: coordinators }, (_, i) => ({
      ...tokenizerAddress,
      GRADPOOL_DATA_STREAM_ADDRESS: data.address,
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: store.address,
      GRADPOOL_RECOVERY_SECONDS: String(recoverySeconds),
      GRADPOOL_STORE: storeOf(i, postgres.url()),
      GRADPOOL_COORDINATOR_LEASE_SECONDS: String(leaseSeconds),
      ...options.coordinatorEnv,
    }));
    pool.#members = await Promise.all(environments.map((env, i) => pool.#startMember(env, options.checkoutOf?.(i))));
    return pool;
  }

  /** Trainers that serve all coordinators, started from this checkout of gradpool unless another is given. */
  async addTrainers(count: number, checkout?: string): Promise<void> {
    const addresses = this.#members.map(({ process }) => process.address).join(",");
    const env = { GRADPOOL_COORDINATOR_ADDRESS: addresses, GRADPOOL_THREADS: "1" };
    const started = await Promise.all(Array.from({ length: count }, () => startService("trainer", env, { checkout })));
    this.#trainers.push(...started);
  }

  client(i: number): Client<RunServiceService> {
    return this.#member(i).client;
  }

  /** "host:port" of a coordinator. */
  address(i: number): string {
    return this.#member(i).process.address;
  }

  pid(i: number): number {
    return this.#member(i).process.child.pid ?? 0;
  }

  /** How often coordinator `i` was started. */
  starts(i: number): number {
    return this.#member(i).starts;
  }

  /** Lines of a coordinator's log, of all its lives. */
  log(i: number): readonly string[] {
    return this.#member(i).process.log;
  }

  /** Which coordinator owns a run; undefined: none of those that live. */
  async ownerOf(runId: string): Promise<number | undefined> {
    const [address] = await this.postgres.query(
      `SELECT address FROM gradpool.runs JOIN gradpool.coordinators ON id = owner WHERE alive AND run_id = '${runId}'`,
    );
    const i = this.#members.findIndex(({ process }) => process.address === address);
    return i < 0 ? undefined : i;
  }

  signal(i: number, signal: NodeJS.Signals): void {
    this.#member(i).process.child.kill(signal);
  }

  /** SIGTERM; it is started again once it has ended. Gives its exit code. */
  async stopInOrder(i: number): Promise<number | null> {
    const { child } = this.#member(i).process;
    const exited = once(child, "exit") as Promise<[number | null]>;
    child.kill("SIGTERM");
    return (await exited)[0];
  }

  async submit(i: number, spec: RunSpec): Promise<string> {
    const requestId = randomUUID();
    for (;;) {
      try {
        const { run } = await this.client(i).submitRun({ requestId, spec });
        if (run) return run.runId;
      } catch (error) {
        if (GradpoolError.from(error).code !== "unavailable") throw error;
      }
      await delay(100);
    }
  }

  /** Follows a run by one coordinator, through all outages. */
  watch(i: number, runId: string, onStep?: (step: StepMetrics) => Promise<void> | void): Promise<Finished> {
    return watchRun(this.client(i), runId, onStep);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const { client, process } of this.#members) {
      client.close();
      process.child.kill("SIGCONT");
    }
    await Promise.all(this.#trainers.map(stop));
    await Promise.all(this.#members.map(({ process }) => stop(process)));
    await Promise.all(this.#services.map(stop));
    await this.postgres[Symbol.asyncDispose]();
  }

  #member(i: number): Member {
    const member = this.#members[i];
    if (!member) throw new Error(`there is no coordinator ${i}`);
    return member;
  }

  async #startMember(env: Record<string, string>, checkout?: string): Promise<Member> {
    const process = await startService("coordinator", env, { checkout });
    const client = createClient(RunServiceService, process.address, [withKey(() => STACK_KEY)]);
    const member: Member = { process, client, starts: 1 };
    void this.#supervise(member, checkout);
    return member;
  }

  /** Starts it again at its address whenever it ends. */
  async #supervise(member: Member, checkout?: string): Promise<void> {
    while (!this.#isOver) {
      await once(member.process.child, "exit");
      if (this.#isOver) return;
      const { env, log } = member.process;
      const again = await startService("coordinator", env, { checkout });
      again.log.unshift(...log);
      member.process = again;
      member.starts += 1;
    }
  }
}

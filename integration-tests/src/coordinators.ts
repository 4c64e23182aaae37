/** Several coordinators on one PostgreSQL, with the services and trainers that they share, as processes that are started again. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  createClient,
  EventServiceService,
  RunServiceService,
  withKey,
  type Client,
  type Event,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import { PostgresServer } from "./postgres.js";
import { recordedEvents } from "./recorded-events.js";
import { STACK_KEY } from "./stack.js";
import { Supervised } from "./supervised.js";
import { TcpProxy } from "./tcp-proxy.js";
import { watchRun, type Finished } from "./watch-run.js";

export interface CoordinatorsOptions {
  coordinators: number;
  /** Of the coordinators' leases. */
  leaseSeconds?: number;
  recoverySeconds?: number;
  /** PostgreSQL has a standby, for `failOver`. */
  standby?: boolean;
  /** There are `links` between coordinators, their callers and PostgreSQL. */
  proxies?: boolean;
  /** The built checkout of gradpool that coordinator `i` is started from; this one unless given. */
  checkoutOf?: (i: number) => string | undefined;
  coordinatorEnv?: Record<string, string>;
  /** Of all services. */
  env?: Record<string, string>;
}

interface Member {
  service: Supervised;
  client: Client<RunServiceService>;
  /** "host:port" where others reach it. */
  advertised: string;
  links: TcpProxy[];
}

export class Coordinators implements AsyncDisposable {
  readonly #databases: PostgresServer[];
  /** By name. */
  readonly services: ReadonlyMap<string, Supervised>;
  readonly trainers: Supervised[] = [];
  #members: Member[] = [];

  private constructor(databases: PostgresServer[], services: Map<string, Supervised>) {
    this.#databases = databases;
    this.services = services;
  }

  static async start(options: CoordinatorsOptions): Promise<Coordinators> {
    const { coordinators, leaseSeconds = 1, recoverySeconds = 0.2, standby = false, env = {} } = options;
    const postgres = await PostgresServer.start();
    const databases = standby ? [postgres, await postgres.standby()] : [postgres];
    const [tokenizer, store] = await Promise.all([
      Supervised.start("tokenizer", env),
      Supervised.start("checkpoint-store", env),
    ]);
    const tokenizerAddress = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address };
    const data = await Supervised.start("data-stream", { ...env, ...tokenizerAddress });
    const services = new Map(Object.entries({ tokenizer, "checkpoint-store": store, "data-stream": data }));
    const pool = new Coordinators(databases, services);
    const settings = {
      ...env,
      ...tokenizerAddress,
      GRADPOOL_DATA_STREAM_ADDRESS: data.address,
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: store.address,
      GRADPOOL_RECOVERY_SECONDS: String(recoverySeconds),
      GRADPOOL_COORDINATOR_LEASE_SECONDS: String(leaseSeconds),
      ...options.coordinatorEnv,
    };
    const { proxies = false, checkoutOf } = options;
    const starting = Array.from({ length: coordinators }, (_, i) =>
      pool.#startMember(settings, proxies, checkoutOf?.(i)),
    );
    try {
      pool.#members = await Promise.all(starting);
      return pool;
    } catch (error) {
      for (const started of await Promise.allSettled(starting)) {
        if (started.status === "fulfilled") pool.#members.push(started.value);
      }
      await pool[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Trainers that serve all coordinators, started from this checkout of gradpool unless another is given. */
  async addTrainers(count: number, checkout?: string): Promise<void> {
    const addresses = this.#members.map(({ advertised }) => advertised).join(",");
    const env = { GRADPOOL_COORDINATOR_ADDRESS: addresses, GRADPOOL_THREADS: "1" };
    const started = await Promise.all(Array.from({ length: count }, () => Supervised.start("trainer", env, checkout)));
    this.trainers.push(...started);
  }

  /** The PostgreSQL that takes writes. */
  get postgres(): PostgresServer {
    const [current] = this.#databases;
    if (!current) throw new Error("there is no PostgreSQL");
    return current;
  }

  /** kill -9 of PostgreSQL; its standby takes over. */
  async failOver(): Promise<void> {
    const [primary, standby] = this.#databases;
    if (!primary || !standby) throw new Error("PostgreSQL has no standby");
    await primary.kill();
    await standby.promote();
    this.#databases.reverse();
  }

  client(i: number): Client<RunServiceService> {
    return this.#member(i).client;
  }

  /** "host:port" of a coordinator. */
  address(i: number): string {
    return this.#member(i).service.address;
  }

  /** All that are recorded, as coordinator `i` gives them. */
  async events(i: number): Promise<Event[]> {
    using client = createClient(EventServiceService, this.address(i), [withKey(() => STACK_KEY)]);
    return await recordedEvents(client);
  }

  /** How often coordinator `i` was started. */
  starts(i: number): number {
    return this.#member(i).service.starts;
  }

  /** Lines of a coordinator's log, of all its lives. */
  log(i: number): readonly string[] {
    return this.#member(i).service.log;
  }

  /** Between coordinator `i` and all that call it, and between it and each PostgreSQL. */
  links(i: number): readonly TcpProxy[] {
    return this.#member(i).links;
  }

  /** Which coordinator owns a run; undefined: none of those that live. */
  async ownerOf(runId: string): Promise<number | undefined> {
    const [address] = await this.postgres.query(
      `SELECT address FROM gradpool.runs JOIN gradpool.coordinators ON id = owner WHERE alive AND run_id = '${runId}'`,
    );
    const i = this.#members.findIndex(({ advertised }) => advertised === address);
    return i < 0 ? undefined : i;
  }

  signal(i: number, signal: NodeJS.Signals): void {
    this.#member(i).service.signal(signal);
  }

  /** SIGTERM; it is started again once it has ended. Gives its exit code. */
  stopInOrder(i: number): Promise<number | null> {
    return this.#member(i).service.stopInOrder();
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
    for (const { client, links } of this.#members) {
      client.close();
      for (const link of links) link.heal();
    }
    const end = (all: Iterable<AsyncDisposable>) => Promise.all([...all].map((one) => one[Symbol.asyncDispose]()));
    await end(this.trainers);
    await end(this.#members.map(({ service }) => service));
    await end(this.services.values());
    await end(this.#members.flatMap(({ links }) => links));
    await end(this.#databases);
  }

  #member(i: number): Member {
    const member = this.#members[i];
    if (!member) throw new Error(`there is no coordinator ${i}`);
    return member;
  }

  async #startMember(
    settings: Record<string, string>,
    hasProxies: boolean,
    checkout: string | undefined,
  ): Promise<Member> {
    const [front, ...stores] = hasProxies
      ? await Promise.all([TcpProxy.start(), ...this.#databases.map(({ port }) => TcpProxy.start(port))])
      : [];
    const hosts = hasProxies
      ? stores.map(({ port }) => `127.0.0.1:${port}`)
      : this.#databases.map((one) => one.address);
    const own = {
      GRADPOOL_STORE: this.postgres.url().replace(this.postgres.address, hosts.join(",")),
      ...(front && { GRADPOOL_ADVERTISE: `127.0.0.1:${front.port}` }),
    };
    const service = await Supervised.start("coordinator", { ...settings, ...own }, checkout);
    if (front) front.targetPort = Number(service.address.split(":").at(-1));
    const client = createClient(RunServiceService, service.address, [withKey(() => STACK_KEY)]);
    const advertised = own.GRADPOOL_ADVERTISE ?? service.address;
    return { service, client, advertised, links: front ? [front, ...stores] : [] };
  }
}

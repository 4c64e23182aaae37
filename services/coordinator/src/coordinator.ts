import {
  EventServiceService,
  healthProblem,
  PoolServiceService,
  RunServiceService,
  service,
  startServer,
  TrainerGatewayServiceService,
} from "@gradpool/rpc";
import { grpcObserver, Registry, type HttpRoute, type Logger, type Service } from "@gradpool/service-kit";
import type { CoordinatorConfig } from "./config.js";
import { Engine } from "./engine.js";
import { EventBook } from "./events/event-book.js";
import { EventLog } from "./events/event-log.js";
import { Publisher } from "./events/publisher.js";
import { eventServiceHandlers } from "./handlers/event-service.js";
import { dashboardRoutes } from "./http/dashboard-routes.js";
import { poolServiceHandlers } from "./handlers/pool-service.js";
import { runServiceHandlers } from "./handlers/run-service.js";
import { trainerGatewayHandlers } from "./handlers/trainer-gateway.js";
import { CoordinatorMetrics } from "./metrics/coordinator-metrics.js";
import { Requests } from "./requests.js";
import { RunRegistry } from "./run-registry.js";
import { connectServices } from "./services.js";
import { SqliteRunStore } from "./store/sqlite-run-store.js";
import { DEFAULT_LEASES, TrainerPool, type Leases } from "./trainer-pool.js";

export interface CoordinatorOptions {
  leases?: Leases | undefined;
  /** It cannot go on: end the process. */
  onCrash: () => void;
}

/** What has to be ended, in the order in which it began. */
type Parts = (Disposable | AsyncDisposable)[];

/** The coordinator: runs, their optimizers, and the pool of trainers. */
export class Coordinator implements Service {
  readonly address: string;
  readonly httpRoutes: readonly HttpRoute[];

  private constructor(
    private readonly config: CoordinatorConfig,
    readonly metrics: Registry,
    { address, httpRoutes }: Served,
    private readonly parts: Parts,
  ) {
    this.address = address;
    this.httpRoutes = httpRoutes;
  }

  /**
   * Takes up the runs that had not ended, and listens. Errors: `unavailable` when the port is taken, and those
   * of SqliteRunStore.open.
   */
  static async create(config: CoordinatorConfig, log: Logger, options: CoordinatorOptions): Promise<Coordinator> {
    const parts: Parts = [];
    const metrics = new Registry();
    try {
      return new Coordinator(config, metrics, await start(config, log, options, metrics, parts), parts);
    } catch (error) {
      await end(parts);
      throw error;
    }
  }

  /** Runs are taken without the other services, too; but they would wait for them. */
  async problem(): Promise<string> {
    const asked = [...addressesOf(this.config)].map(async ([name, address]) => ({
      name,
      problem: await healthProblem(address),
    }));
    const away = (await Promise.all(asked)).find(({ problem }) => problem !== "");
    return away ? `${away.name}: ${away.problem}` : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.parts);
  }
}

async function end(parts: Parts): Promise<void> {
  for (const part of parts.splice(0).reverse()) {
    if (Symbol.asyncDispose in part) await part[Symbol.asyncDispose]();
    else part[Symbol.dispose]();
  }
}

/** Where it can be asked, and what its HTTP port answers. */
interface Served {
  /** "host:port" of the gRPC server. */
  address: string;
  httpRoutes: HttpRoute[];
}

async function start(
  config: CoordinatorConfig,
  log: Logger,
  { leases = DEFAULT_LEASES, onCrash }: CoordinatorOptions,
  registered: Registry,
  parts: Parts,
): Promise<Served> {
  const store = await SqliteRunStore.open(config.runStore, log);
  parts.push(store);
  if (!store.isDurable) log.warn("runs are forgotten when this process ends; GRADPOOL_RUN_STORE names a file for them");
  const { life, requests: known, drained } = store.recorded;
  const book = new EventBook(store.recorded.events, config.nats !== undefined);
  const publisher = config.nats && new Publisher({ nats: config.nats, store, book, log });
  if (publisher) parts.push(publisher);
  const registry = await RunRegistry.load(store, book);
  const requests = new Requests(known);
  const services = connectServices(config);
  parts.push({ [Symbol.dispose]: () => services.close() });
  const stopping = new AbortController();
  let address = config.listen;
  const metrics: CoordinatorMetrics = new CoordinatorMetrics(registered, () => ({
    state: engine.state,
    runs: registry.unfinished.map(({ run }) => run),
    trainers: trainers.trainers(),
    eventsWaiting: publisher?.waiting ?? 0,
  }));
  const engine: Engine = new Engine({
    ...{ services, registry, log, life, recoveryMs: config.recoveryMs, isDurable: store.isDurable },
    drainMs: config.drainMs,
    trainers: () => trainers,
    observe: (happened) => metrics.happened(happened),
    onCrash: (error) => {
      log.fatal({ err: error }, "the coordinator cannot go on");
      onCrash();
    },
  });
  const trainers: TrainerPool = new TrainerPool({ engine, registry, log, metrics, drained, leases });
  // Before anyone can ask for anything: a wish for a run that is not there yet would be lost.
  engine.resumeAll();
  const handlers = {
    runs: runServiceHandlers({ registry, engine, requests, stopping: stopping.signal }),
    pool: poolServiceHandlers({
      ...{ registry, trainers, requests, services: addressesOf(config), startedAt: new Date() },
      address: () => address,
    }),
  };
  const onInternalError = (error: unknown, method: string) => log.error({ err: error, method }, "internal error");
  const server = await startServer({
    listen: config.listen,
    services: [
      service(RunServiceService, handlers.runs),
      service(PoolServiceService, handlers.pool),
      service(EventServiceService, eventServiceHandlers(new EventLog(store, book), stopping.signal)),
      service(TrainerGatewayServiceService, trainerGatewayHandlers(engine, trainers)),
    ],
    onInternalError,
    observe: grpcObserver(registered),
  }).catch(async (error: unknown) => {
    trainers[Symbol.dispose]();
    await engine[Symbol.asyncDispose]();
    throw error;
  });
  ({ address } = server);
  parts.push(server, trainers, engine, { [Symbol.dispose]: () => stopping.abort() });
  return { address, httpRoutes: dashboardRoutes({ handlers, hosts: config.httpHosts, onInternalError }) };
}

/** The services that a coordinator calls, by name. */
const addressesOf = (config: CoordinatorConfig): ReadonlyMap<string, string> =>
  new Map([
    ["tokenizer", config.tokenizerAddress],
    ["data-stream", config.dataStreamAddress],
    ["checkpoint-store", config.checkpointStoreAddress],
  ]);

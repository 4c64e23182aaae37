import {
  EventServiceService,
  healthProblem,
  PoolServiceService,
  RunServiceService,
  service,
  TrainerGatewayServiceService,
} from "@gradpool/rpc";
import { serve, type Logger, type Parts, type Scope, type Service } from "@gradpool/service-kit";
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

/**
 * Starts the coordinator: runs, their optimizers, and the pool of trainers. It takes up the runs that had not ended.
 * Errors: those of serve and of SqliteRunStore.open.
 */
export function startCoordinator(
  config: CoordinatorConfig,
  log: Logger,
  options: CoordinatorOptions,
): Promise<Service> {
  return serve({ listen: config.listen, log }, (scope) => partsOf(config, log, options, scope));
}

async function partsOf(
  config: CoordinatorConfig,
  log: Logger,
  { leases = DEFAULT_LEASES, onCrash }: CoordinatorOptions,
  scope: Scope,
): Promise<Parts> {
  const { own, stopping } = scope;
  const store = own(await SqliteRunStore.open(config.runStore, log));
  if (!store.isDurable) log.warn("runs are forgotten when this process ends; GRADPOOL_RUN_STORE names a file for them");
  const { life, requests: known, drained } = store.recorded;
  const book = new EventBook(store.recorded.events, config.nats !== undefined);
  const publisher = config.nats && own(new Publisher({ nats: config.nats, store, book, log }));
  const registry = await RunRegistry.load(store, book);
  const requests = new Requests(known);
  const services = connectServices(config, scope);
  const metrics: CoordinatorMetrics = new CoordinatorMetrics(scope.metrics, () => ({
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
      log.fatal({ err: error }, "the coordinator cannot continue");
      onCrash();
    },
  });
  const trainers: TrainerPool = new TrainerPool({ engine, registry, log, metrics, drained, leases });
  // Before anyone can ask for anything: a wish for a run that is not there yet would be lost.
  engine.resumeAll();
  let address = config.listen;
  const handlers = {
    runs: runServiceHandlers({ registry, engine, requests, stopping }),
    pool: poolServiceHandlers({
      ...{ registry, trainers, requests, store, services: addressesOf(config), startedAt: new Date() },
      address: () => address,
    }),
  };
  const onInternalError = (error: unknown, path: string) => log.error({ err: error, path }, "internal error");
  return {
    services: [
      service(RunServiceService, handlers.runs),
      service(PoolServiceService, handlers.pool),
      service(EventServiceService, eventServiceHandlers(new EventLog(store, book), stopping)),
      service(TrainerGatewayServiceService, trainerGatewayHandlers(engine, trainers)),
    ],
    httpRoutes: dashboardRoutes({ handlers, hosts: config.httpHosts, onInternalError }),
    problem: () => problemOf(config),
    started: (listening) => (address = listening),
    async drain() {
      await engine[Symbol.asyncDispose]();
      trainers[Symbol.dispose]();
    },
  };
}

/** Runs are taken without the other services, too; but they would wait for them. */
async function problemOf(config: CoordinatorConfig): Promise<string> {
  const asked = [...addressesOf(config)].map(async ([name, address]) => ({
    name,
    problem: await healthProblem(address),
  }));
  const away = (await Promise.all(asked)).find(({ problem }) => problem !== "");
  return away ? `${away.name}: ${away.problem}` : "";
}

/** The services that a coordinator calls, by name. */
const addressesOf = (config: CoordinatorConfig): ReadonlyMap<string, string> =>
  new Map([
    ["tokenizer", config.tokenizerAddress],
    ["data-stream", config.dataStreamAddress],
    ["checkpoint-store", config.checkpointStoreAddress],
  ]);

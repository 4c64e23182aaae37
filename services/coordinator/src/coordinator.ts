import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  EventServiceService,
  PoolServiceService,
  RunServiceService,
  service,
  TrainerGatewayServiceService,
} from "@gradpool/rpc";
import { serve, type Access, type Logger, type Parts, type Scope, type Service } from "@gradpool/service-kit";
import type { CoordinatorConfig } from "./config.js";
import { Driver } from "./driver/driver.js";
import type { Clock, Ports } from "./driver/ports.js";
import { EventBook } from "./events/event-book.js";
import { EventLog } from "./events/event-log.js";
import { Publisher } from "./events/publisher.js";
import type { Fact } from "./facts.js";
import { eventServiceHandlers } from "./handlers/event-service.js";
import { dashboardRoutes } from "./http/dashboard-routes.js";
import { poolServiceHandlers } from "./handlers/pool-service.js";
import { runServiceHandlers } from "./handlers/run-service.js";
import { trainerGatewayHandlers } from "./handlers/trainer-gateway.js";
import { CoordinatorMetrics } from "./metrics/coordinator-metrics.js";
import { Requests } from "./record/requests.js";
import { RunRegistry } from "./record/run-registry.js";
import { Retention } from "./retention.js";
import { Reporter } from "./reports/reporter.js";
import { RunCommands } from "./run-commands.js";
import { Charts } from "./runs/charts.js";
import type { Models } from "./runs/models.js";
import { PreparingRun } from "./runs/preparing-run.js";
import type { TrainingRun } from "./runs/training-run.js";
import { connectServices } from "./services.js";
import { Forwarding } from "./members/forwarding.js";
import { resume, SharedPool } from "./members/shared-pool.js";
import { SqliteRunStore } from "./store/sqlite-run-store.js";
import { RunTraces } from "./traces/run-traces.js";
import { DEFAULT_LEASES, TrainerPool, type Leases, type Runs } from "./trainer-pool.js";

export interface CoordinatorOptions {
  access: Access;
  leases?: Leases | undefined;
  charts?: Charts | undefined;
  models?: Models | undefined;
  /** Called when it cannot continue: end the process. */
  onCrash: () => void;
}

/**
 * Starts the coordinator: runs, their optimizers, and the pool of trainers. It resumes the runs that had not ended.
 * Errors: those of serve, SharedPool.open and SqliteRunStore.open.
 */
export function startCoordinator(
  config: CoordinatorConfig,
  log: Logger,
  options: CoordinatorOptions,
): Promise<Service> {
  return serve({ listen: config.listen, log, access: options.access }, (scope) => partsOf(config, log, options, scope));
}

async function partsOf(
  config: CoordinatorConfig,
  log: Logger,
  { access, leases = DEFAULT_LEASES, charts = new Charts(), models, onCrash }: CoordinatorOptions,
  scope: Scope,
): Promise<Parts> {
  const { own, stopping } = scope;
  const { runStore, leaseMs } = config;
  const isShared = typeof runStore === "object";
  const shared = isShared ? own(await SharedPool.open({ address: runStore, leaseMs, clock, log })) : undefined;
  const store = shared?.store ?? own(await SqliteRunStore.open(isShared ? undefined : runStore, log));
  if (!store.isDurable) log.warn("runs are lost when this process ends; set GRADPOOL_STORE to a file to keep them");
  const { life, requests: known, drained } = store.recorded;
  const book = new EventBook(store.recorded.events, config.nats !== undefined);
  const publisher =
    config.nats && own(new Publisher({ nats: config.nats, store, book, log, turn: shared?.publisherTurn }));
  const registry = await RunRegistry.load(store, book, { isShared });
  const requests = new Requests(known, shared?.find);
  const services = connectServices(config, access.roots, scope, models);
  const metrics: CoordinatorMetrics = new CoordinatorMetrics(scope.metrics, () => ({
    state: driver.state,
    runs: registry.unfinished.map(({ run }) => run),
    trainers: trainers.trainers(),
    eventsWaiting: publisher?.waiting ?? 0,
  }));
  const traces = new RunTraces((runId) => registry.get(runId).recorded);
  const ports: Ports<TrainingRun> = {
    clock,
    record: (turns) => registry.commit(turns),
    observe: (facts) => {
      // Logged as part of the run's trace, which the run's end closes.
      logEnds(log, traces, facts);
      traces.observe(facts);
      metrics.observe(facts);
      reporter.observe(facts);
    },
    traced: (effect, work) => traces.within(effect, work),
    trainers: { carryOut: (effect) => trainers.carryOut(effect), endRun: (runId) => trainers.endRun(runId) },
    openRun: (run, listener) => {
      const { runId } = run;
      return new PreparingRun({
        ...{ run, ownerEpoch: shared?.members.epochOf(runId) ?? 0, services, charts },
        recoveryMs: config.recoveryMs,
        onRemark: (text) => log.warn({ runId }, text),
        onDoing: (doing) => registry.get(runId).tell(doing),
        onTrouble: (reason) => {
          log.warn({ runId }, reason || "continues");
          listener.onTrouble(reason);
        },
        onCheckpoint: (checkpoint) => listener.onCheckpoint(checkpoint),
        onFailed: (error) => listener.onFailed(error),
        platforms: () => trainers.platforms(),
      });
    },
    onUnexpected: (runId, error) => log.error({ runId, err: error }, "run failed unexpectedly"),
    onCrash: (error) => {
      log.fatal({ err: error }, "the coordinator cannot continue");
      onCrash();
    },
  };
  const driver: Runs = new Driver(ports, { life, drainMs: store.isDurable ? config.drainMs : undefined });
  const members = {
    coordinatorId: shared?.members.id ?? randomUUID(),
    addresses: () => shared?.members.addresses() ?? [],
  };
  const trainers: TrainerPool = new TrainerPool({ driver, traces, registry, log, metrics, drained, leases, members });
  const reporter = own(new Reporter({ mlflow: config.mlflow, registry, driver, log }));
  // Before requests are served: one for a run that is not loaded yet would be lost.
  if (shared) await shared.start({ driver, registry, trainers, book, onLost: ports.onCrash });
  else for (const { run } of registry.unfinished) resume(run, driver, log);
  const commands = new RunCommands({ driver, registry, requests, reporter, stopping });
  if (config.keepRunsMs !== undefined) own(new Retention(commands, config.keepRunsMs, log));
  let address = config.listen;
  const ownRuns = runServiceHandlers({ registry, commands, roots: access.roots, stopping });
  const connect = (target: string) => scope.connect(RunServiceService, target);
  const handlers = {
    runs: shared ? own(new Forwarding({ owners: shared, connect })).handlers(ownRuns) : ownRuns,
    pool: poolServiceHandlers({
      ...{ registry, trainers, requests, store, services: addressesOf(config), startedAt: new Date() },
      problemAt: scope.problemAt,
      address: () => address,
    }),
  };
  const onInternalError = (error: unknown, path: string) => log.error({ err: error, path }, "internal error");
  return {
    services: [
      service(RunServiceService, handlers.runs),
      service(PoolServiceService, handlers.pool),
      service(EventServiceService, eventServiceHandlers(new EventLog(store, book), stopping)),
      service(TrainerGatewayServiceService, trainerGatewayHandlers(driver, trainers)),
    ],
    httpRoutes: dashboardRoutes({ handlers, onInternalError }),
    problem: () => problemOf(config, scope.problemAt),
    started(listening) {
      address = listening;
      shared?.members.reachableAt(config.advertised ?? listening).catch(ports.onCrash);
    },
    async drain() {
      await driver[Symbol.asyncDispose]();
      await shared?.members.giveUp();
      trainers[Symbol.dispose]();
    },
  };
}

const clock: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }),
};

/** Runs are accepted without the other services, too, but wait for them. */
async function problemOf(config: CoordinatorConfig, problemAt: Scope["problemAt"]): Promise<string> {
  const asked = [...addressesOf(config)].map(async ([name, address]) => ({
    name,
    problem: await problemAt(address),
  }));
  const unavailable = (await Promise.all(asked)).find(({ problem }) => problem !== "");
  return unavailable ? `${unavailable.name}: ${unavailable.problem}` : "";
}

function logEnds(log: Logger, traces: RunTraces, facts: readonly Fact[]): void {
  for (const fact of facts) {
    if (fact.type !== "run-ended") continue;
    const { runId, outcome, code, message } = fact;
    traces.withinRun(runId, () => log.info({ runId, outcome, code: code || undefined }, message || "run ended"));
  }
}

/** The services that a coordinator calls, by name. */
const addressesOf = (config: CoordinatorConfig): ReadonlyMap<string, string> =>
  new Map([
    ["tokenizer", config.tokenizerAddress],
    ["data-stream", config.dataStreamAddress],
    ["checkpoint-store", config.checkpointStoreAddress],
  ]);

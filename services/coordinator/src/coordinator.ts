import {
  PoolServiceService,
  RunServiceService,
  service,
  startServer,
  TrainerGatewayServiceService,
  type RunningServer,
} from "@gradpool/rpc";
import type { Logger, Service } from "@gradpool/service-kit";
import type { CoordinatorConfig } from "./config.js";
import { DEFAULT_LEASES, Engine, type Leases } from "./engine.js";
import { poolServiceHandlers } from "./handlers/pool-service.js";
import { runServiceHandlers } from "./handlers/run-service.js";
import { trainerGatewayHandlers } from "./handlers/trainer-gateway.js";
import { RunRegistry } from "./run-registry.js";
import { connectServices, type Services } from "./services.js";

/** The coordinator: runs, their optimizers, and the pool of trainers. */
export class Coordinator implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #engine: Engine;
  readonly #services: Services;
  readonly #stopping: AbortController;

  private constructor(server: RunningServer, engine: Engine, services: Services, stopping: AbortController) {
    this.address = server.address;
    this.#server = server;
    this.#engine = engine;
    this.#services = services;
    this.#stopping = stopping;
  }

  /** Errors: `unavailable` when the port is taken. */
  static async create(config: CoordinatorConfig, log: Logger, leases: Leases = DEFAULT_LEASES): Promise<Coordinator> {
    const services = connectServices(config);
    const engine = new Engine(services, log, leases);
    const registry = new RunRegistry();
    const stopping = new AbortController();
    try {
      const server = await startServer({
        listen: config.listen,
        services: [
          service(RunServiceService, runServiceHandlers(registry, engine, stopping.signal)),
          service(PoolServiceService, poolServiceHandlers(engine)),
          service(TrainerGatewayServiceService, trainerGatewayHandlers(engine)),
        ],
        onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
      });
      return new Coordinator(server, engine, services, stopping);
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      services.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#engine[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    this.#services.close();
  }
}

import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { startServer, type RunningServer, type TrainerHello } from "@gradpool/rpc";
import { grpcObserver, Registry, type Logger, type Service } from "@gradpool/service-kit";
import { ComputeThread } from "./compute.js";
import type { TrainerConfig } from "./config.js";
import { keepConnected } from "./connection.js";
import { converse } from "./conversation.js";
import { chooseDevice, type Device } from "./device.js";
import { TrainerMetrics } from "./metrics.js";

/**
 * A trainer: dials the coordinator, so that it works behind NAT, and computes micro-batches. Stateless: what
 * it keeps can be fetched again. Serves nothing but health checks.
 */
export class Trainer implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #compute: ComputeThread;
  readonly #connection: { isConnected: boolean };
  readonly #stopping: AbortController;
  readonly #connected: Promise<void>;

  private constructor(
    readonly metrics: Registry,
    server: RunningServer,
    compute: ComputeThread,
    connection: { isConnected: boolean },
    stopping: AbortController,
    connected: Promise<void>,
  ) {
    this.address = server.address;
    this.#server = server;
    this.#compute = compute;
    this.#connection = connection;
    this.#stopping = stopping;
    this.#connected = connected;
  }

  /**
   * Starts to compute and to dial; the coordinator may come later. `onCrash` is called when the compute
   * thread dies; `computeModule` is what that thread runs, if not the real thing.
   * Errors: `unavailable` when the port is taken; `failed_precondition` when a device was asked for that
   * cannot be had.
   */
  static async create(config: TrainerConfig, log: Logger, onCrash: () => void, computeModule?: URL): Promise<Trainer> {
    const registry = new Registry();
    const connection = { isConnected: false };
    const metrics = new TrainerMetrics(registry, () => connection.isConnected);
    const server = await startServer({
      listen: config.listen,
      services: [],
      onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
      observe: grpcObserver(registry),
    });
    let compute: ComputeThread;
    let hello: TrainerHello;
    try {
      const { cudaDevice, ...device } = await chooseDevice(config, log);
      compute = await ComputeThread.create({
        threads: config.threads,
        cudaDevice,
        models: config.models,
        log,
        onLoaded: (seconds) => metrics.baseLoaded(seconds),
        onCrash,
        module: computeModule,
      });
      hello = await describe(config, device, compute.onnxRuntimeVersion);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    const { device, deviceClass, threads, version } = hello;
    log.info({ device, deviceClass, threads, version, trainerId: config.trainerId }, "this trainer's device");
    const stopping = new AbortController();
    const connected = keepConnected({
      address: config.coordinatorAddress,
      log,
      stopping: stopping.signal,
      onChange: (isConnected) => (connection.isConnected = isConnected),
      converse: (onWelcome) =>
        converse(config.coordinatorAddress, {
          ...{ log, hello, compute, metrics, onWelcome, stopping: stopping.signal },
          finishMs: config.finishMs,
        }),
    });
    return new Trainer(registry, server, compute, connection, stopping, connected);
  }

  async problem(): Promise<string> {
    return this.#connection.isConnected ? "" : "it is not connected to the coordinator";
  }

  /** Gives back the micro-batch that waits, finishes the one that computes if it ends in time, pushes it, and says goodbye. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#connected;
    await Promise.all([this.#server[Symbol.asyncDispose](), this.#compute[Symbol.asyncDispose]()]);
  }
}

async function describe(config: TrainerConfig, device: Device, onnxRuntimeVersion: string): Promise<TrainerHello> {
  return {
    trainerId: config.trainerId,
    ...device,
    host: hostname(),
    pid: process.pid,
    threads: config.threads,
    version: `gradpool ${await gradpoolVersion()}, onnxruntime ${onnxRuntimeVersion}`,
  };
}

async function gradpoolVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  return (manifest as { version: string }).version;
}

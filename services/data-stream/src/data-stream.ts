import { setMaxListeners } from "node:events";
import {
  createClient,
  DataStreamServiceService,
  healthProblem,
  service,
  startServer,
  TokenizerServiceService,
  type Client,
  type RunningServer,
} from "@gradpool/rpc";
import { grpcObserver, Registry, type Logger, type Service } from "@gradpool/service-kit";
import type { DataStreamConfig } from "./config.js";
import { Counts } from "./counts.js";
import { describeDatasetHandler } from "./describe-dataset.js";
import { DataStreamMetrics } from "./metrics.js";
import { openStreamHandler } from "./open-stream.js";

/** The data-stream service. Keeps nothing between calls but counts: a cursor says all that is needed to go on. */
export class DataStream implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #tokenizerAddress: string;
  readonly #tokenizer: Client<TokenizerServiceService>;
  readonly #stopping: AbortController;

  private constructor(
    readonly metrics: Registry,
    server: RunningServer,
    tokenizerAddress: string,
    tokenizer: Client<TokenizerServiceService>,
    stopping: AbortController,
  ) {
    this.address = server.address;
    this.#server = server;
    this.#tokenizerAddress = tokenizerAddress;
    this.#tokenizer = tokenizer;
    this.#stopping = stopping;
  }

  /** Errors: `unavailable` when the port is taken. */
  static async create(config: DataStreamConfig, log: Logger): Promise<DataStream> {
    const tokenizer = createClient(TokenizerServiceService, config.tokenizerAddress);
    const stopping = new AbortController();
    const registry = new Registry();
    const metrics = new DataStreamMetrics(registry);
    const counts = new Counts(config.countsDir);
    // One listener for each open call.
    setMaxListeners(0, stopping.signal);
    const server = await startServer({
      listen: config.listen,
      services: [
        service(DataStreamServiceService, {
          describeDataset: describeDatasetHandler(tokenizer, config.hub, counts, stopping.signal, metrics),
          openStream: openStreamHandler(tokenizer, config.hub, stopping.signal, metrics),
        }),
      ],
      onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
      observe: grpcObserver(registry),
    }).catch((error: unknown) => {
      tokenizer.close();
      throw error;
    });
    return new DataStream(registry, server, config.tokenizerAddress, tokenizer, stopping);
  }

  async problem(): Promise<string> {
    const problem = await healthProblem(this.#tokenizerAddress);
    return problem && `tokenizer: ${problem}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#server[Symbol.asyncDispose]();
    this.#tokenizer.close();
  }
}

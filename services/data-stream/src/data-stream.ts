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
import type { Logger, Service } from "@gradpool/service-kit";
import { Registry } from "prom-client";
import type { DataStreamConfig } from "./config.js";
import { Counts } from "./counts.js";
import { describeDatasetHandler } from "./describe-dataset.js";
import { openStreamHandler } from "./open-stream.js";

/** The data-stream service. Keeps nothing between calls but counts: a cursor says all that is needed to go on. */
export class DataStream implements Service {
  readonly address: string;
  readonly metrics = new Registry();
  readonly #server: RunningServer;
  readonly #tokenizerAddress: string;
  readonly #tokenizer: Client<TokenizerServiceService>;
  readonly #stopping: AbortController;

  private constructor(
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
    // One listener for each open call.
    setMaxListeners(0, stopping.signal);
    const server = await startServer({
      listen: config.listen,
      services: [
        service(DataStreamServiceService, {
          describeDataset: describeDatasetHandler(tokenizer, config.hub, new Counts(config.countsDir), stopping.signal),
          openStream: openStreamHandler(tokenizer, config.hub, stopping.signal),
        }),
      ],
      onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
    }).catch((error: unknown) => {
      tokenizer.close();
      throw error;
    });
    return new DataStream(server, config.tokenizerAddress, tokenizer, stopping);
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

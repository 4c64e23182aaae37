import { type RunningServer, service, startServer, TokenizerServiceService } from "@gradpool/rpc";
import { grpcObserver, Registry, type Logger, type Service } from "@gradpool/service-kit";
import type { TokenizerConfig } from "./config.js";
import { encodeHandler } from "./encode.js";
import { decodeHandler, getTokenizerFilesHandler, getTokenizerHandler } from "./handlers.js";
import { TokenizerMetrics } from "./metrics.js";
import { WorkerPool } from "./worker-pool.js";

/** The tokenizer service: encoders in a pool of worker threads. Keeps nothing but what it has loaded. */
export class TokenizerServer implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #pool: WorkerPool;

  private constructor(
    readonly metrics: Registry,
    server: RunningServer,
    pool: WorkerPool,
  ) {
    this.address = server.address;
    this.#server = server;
    this.#pool = pool;
  }

  /** Errors: `unavailable` when the port is taken. */
  static async create(config: TokenizerConfig, log: Logger): Promise<TokenizerServer> {
    const registry = new Registry();
    const metrics = new TokenizerMetrics(registry, () => pool.waiting);
    const pool: WorkerPool = new WorkerPool(config.workers, log, metrics);
    try {
      const server = await startServer({
        listen: config.listen,
        services: [
          service(TokenizerServiceService, {
            getTokenizer: getTokenizerHandler(pool, config.models),
            encode: encodeHandler(pool, config.models, metrics),
            decode: decodeHandler(pool, config.models),
            getTokenizerFiles: getTokenizerFilesHandler(pool, config.models),
          }),
        ],
        onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
        observe: grpcObserver(registry),
      });
      return new TokenizerServer(registry, server, pool);
    } catch (error) {
      await pool[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#pool[Symbol.asyncDispose]();
  }
}

import { service, startServer, TokenizerServiceService, type RunningServer } from "@gradpool/rpc";
import type { Logger, Service } from "@gradpool/service-kit";
import type { TokenizerConfig } from "./config.js";
import { EncodePool } from "./encode-pool.js";
import { tokenizerHandlers } from "./handlers.js";
import { TokenizerCache } from "./tokenizer-cache.js";

/** The tokenizer service. Keeps nothing but caches. */
export class TokenizerServer implements Service {
  readonly address: string;
  readonly #server: RunningServer;
  readonly #pool: EncodePool;

  private constructor(server: RunningServer, pool: EncodePool) {
    this.address = server.address;
    this.#server = server;
    this.#pool = pool;
  }

  /** Errors: `unavailable` when the port is taken. */
  static async create(config: TokenizerConfig, log: Logger): Promise<TokenizerServer> {
    const pool = new EncodePool(config.workers, (error) => log.error({ err: error }, "an encoding thread died"));
    try {
      const server = await startServer({
        listen: config.listen,
        services: [service(TokenizerServiceService, tokenizerHandlers(new TokenizerCache(), pool))],
        onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
      });
      return new TokenizerServer(server, pool);
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

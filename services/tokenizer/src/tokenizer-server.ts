import { service, TokenizerServiceService } from "@gradpool/rpc";
import { serve, type Access, type Logger, type Service } from "@gradpool/service-kit";
import type { TokenizerConfig } from "./config.js";
import { encodeHandler } from "./encode.js";
import { decodeHandler, getTokenizerFilesHandler, getTokenizerHandler } from "./handlers.js";
import { TokenizerMetrics } from "./metrics.js";
import { WorkerPool } from "./worker-pool.js";

/**
 * Starts the tokenizer service: encoders in a pool of worker threads. It keeps only what it has loaded. Errors:
 * those of serve.
 */
export function startTokenizer(config: TokenizerConfig, log: Logger, access: Access): Promise<Service> {
  return serve({ listen: config.listen, log, access }, ({ metrics: registry, own }) => {
    const metrics = new TokenizerMetrics(registry, () => pool.waiting);
    const pool: WorkerPool = own(new WorkerPool(config.workers, log, metrics));
    const handlers = {
      getTokenizer: getTokenizerHandler(pool, config.models),
      encode: encodeHandler(pool, config.models, metrics),
      decode: decodeHandler(pool, config.models),
      getTokenizerFiles: getTokenizerFilesHandler(pool, config.models),
    };
    return { services: [service(TokenizerServiceService, handlers)] };
  });
}

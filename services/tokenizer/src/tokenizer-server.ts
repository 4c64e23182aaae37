import { service, TokenizerServiceService } from "@gradpool/rpc";
import { serve, type Access, type Logger, type Service } from "@gradpool/service-kit";
import type { TokenizerConfig } from "./config.js";
import { encodeHandler } from "./encode.js";
import { decodeHandler, getTokenizerFilesHandler, getTokenizerHandler } from "./handlers.js";
import { TokenizerMetrics } from "./metrics.js";
import { ModelFolders } from "./model-folders.js";
import { BOUNDS, WorkerPool } from "./worker-pool.js";

/**
 * Starts the tokenizer service: encoders in a pool of worker threads. It keeps only what it has loaded. Errors:
 * those of serve.
 */
export function startTokenizer(
  config: TokenizerConfig,
  log: Logger,
  access: Access,
  bounds = BOUNDS,
): Promise<Service> {
  return serve({ listen: config.listen, log, access }, ({ metrics: registry, own }) => {
    const metrics = new TokenizerMetrics(registry, () => pool.waiting);
    const pool: WorkerPool = own(new WorkerPool(config.workers, log, metrics, bounds));
    const models = own(new ModelFolders({ ...config.models, roots: access.roots }));
    const handlers = {
      getTokenizer: getTokenizerHandler(pool, models),
      encode: encodeHandler(pool, models, metrics),
      decode: decodeHandler(pool, models),
      getTokenizerFiles: getTokenizerFilesHandler(pool, models),
    };
    return { services: [service(TokenizerServiceService, handlers)] };
  });
}

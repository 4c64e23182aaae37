import { DataStreamServiceService, service, TokenizerServiceService, untilStopping } from "@gradpool/rpc";
import { serve, type Access, type Logger, type Service } from "@gradpool/service-kit";
import type { DataStreamConfig } from "./config.js";
import { BOUNDS, DataThreads } from "./data-threads.js";
import { dataStreamHandlers } from "./handlers.js";
import { DataStreamMetrics } from "./metrics.js";

const STOPPING = "the data-stream service is shutting down; try again";

/**
 * Starts the data-stream service. It keeps only counts between calls: a cursor has all that is needed to
 * resume. Errors: those of serve.
 */
export function startDataStream(
  config: DataStreamConfig,
  log: Logger,
  access: Access,
  bounds = BOUNDS,
): Promise<Service> {
  return serve({ listen: config.listen, log, access }, ({ metrics: registry, stopping, own, connect, problemAt }) => {
    const tokenizer = own(connect(TokenizerServiceService, config.tokenizerAddress));
    const metrics = new DataStreamMetrics(registry);
    const threads = own(new DataThreads(tokenizer, metrics, bounds));
    const places = { hub: config.hub, roots: access.roots };
    const handlers = dataStreamHandlers(threads, places, config.countsDir, metrics);
    return {
      services: [service(DataStreamServiceService, handlers, untilStopping(stopping, STOPPING))],
      async problem() {
        const problem = await problemAt(config.tokenizerAddress);
        return problem && `tokenizer: ${problem}`;
      },
    };
  });
}

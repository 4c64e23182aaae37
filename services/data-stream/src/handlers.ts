/** What the service answers: its threads do the work. */
import type { DataStreamServiceService, Handlers } from "@gradpool/rpc";
import type { DataThreads } from "./data-threads.js";
import type { DataStreamMetrics } from "./metrics.js";
import type { DatasetPlaces } from "./open-dataset.js";

export function dataStreamHandlers(
  threads: DataThreads,
  places: DatasetPlaces,
  countsDir: string,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService> {
  return {
    async *openStream(request, { signal }) {
      for await (const microBatch of threads.run<"stream">({ kind: "stream", places, request }, signal)) {
        metrics.sent(microBatch);
        yield { microBatch };
      }
    },
    async *describeDataset(request, { signal }) {
      const job = { kind: "describe", places, request, countsDir } as const;
      for await (const { response, counted } of threads.run<"describe">(job, signal)) {
        metrics.counted(counted.rows, counted.bytes);
        yield response;
      }
    },
  };
}

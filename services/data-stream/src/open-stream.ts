import type { HubSettings } from "@gradpool/hub";
import type { Handlers, DataStreamServiceService, OpenStreamRequest, OpenStreamResponse } from "@gradpool/rpc";
import type { DataThreads } from "./data-threads.js";
import type { DataStreamMetrics } from "./metrics.js";

export function openStreamHandler(
  threads: DataThreads,
  hub: HubSettings,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService>["openStream"] {
  return (request, { signal }) => openStream(request, threads, hub, signal, metrics);
}

async function* openStream(
  request: OpenStreamRequest,
  threads: DataThreads,
  hub: HubSettings,
  signal: AbortSignal,
  metrics: DataStreamMetrics,
): AsyncGenerator<OpenStreamResponse> {
  for await (const microBatch of threads.run<"stream">({ kind: "stream", hub, request }, signal)) {
    metrics.sent(microBatch);
    yield { microBatch };
  }
}

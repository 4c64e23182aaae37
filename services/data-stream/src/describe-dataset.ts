import { describeDataset, type DatasetSize } from "@gradpool/data";
import type { HubSettings } from "@gradpool/hub";
import type {
  Client,
  DataStreamServiceService,
  DescribeDatasetRequest,
  DescribeDatasetResponse,
  Handlers,
  TokenizerServiceService,
} from "@gradpool/rpc";
import type { DataStreamMetrics } from "./metrics.js";
import { TokenizerEncoder } from "./tokenizer-encoder.js";
import { openDataset } from "./open-dataset.js";
import { requestedDataset } from "./translate.js";
import { untilStopping } from "./until-stopping.js";

/** Least time between two reports of progress. */
const PROGRESS_INTERVAL_MS = 250;

export function describeDatasetHandler(
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  stopping: AbortSignal,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService>["describeDataset"] {
  return (request, context) =>
    untilStopping(context.signal, stopping, (signal) => describe(request, tokenizer, hub, signal, metrics));
}

async function* describe(
  request: DescribeDatasetRequest,
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  signal: AbortSignal,
  metrics: DataStreamMetrics,
): AsyncGenerator<DescribeDatasetResponse> {
  const requested = requestedDataset(request.dataset);
  const { recipe, tokenizer: ref } = requested;
  const dataset = await openDataset(requested, hub, signal);
  const encoder = recipe.packing ? await TokenizerEncoder.create(tokenizer, ref, signal) : undefined;
  const progress = (size: DatasetSize): DescribeDatasetResponse => ({
    ...size,
    bytesTotal: dataset.bytesTotal,
    complete: false,
    datasetHash: "",
  });
  let size: DatasetSize = { rows: 0, microBatchesPerEpoch: 0, bytesRead: 0 };
  let reportedAt = performance.now();
  for await (const next of describeDataset(dataset, recipe, encoder, signal)) {
    metrics.counted(next.rows - size.rows, next.bytesRead - size.bytesRead);
    size = next;
    if (performance.now() - reportedAt < PROGRESS_INTERVAL_MS) continue;
    reportedAt = performance.now();
    yield progress(size);
  }
  yield { ...progress(size), complete: true, datasetHash: dataset.hash };
}

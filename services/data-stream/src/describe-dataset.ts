import { countKey, describeDataset, microBatchesPerEpoch, type DatasetCount } from "@gradpool/data";
import type { HubSettings } from "@gradpool/hub";
import type {
  Client,
  DataStreamServiceService,
  DescribeDatasetRequest,
  DescribeDatasetResponse,
  Handlers,
  TokenizerServiceService,
} from "@gradpool/rpc";
import type { Counts } from "./counts.js";
import type { DataStreamMetrics } from "./metrics.js";
import { TokenizerEncoder } from "./tokenizer-encoder.js";
import { openDataset } from "./open-dataset.js";
import { requestedDataset } from "./translate.js";

/** Least time between two reports of progress. */
const PROGRESS_INTERVAL_MS = 250;

export function describeDatasetHandler(
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  counts: Counts,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService>["describeDataset"] {
  return (request, { signal }) => describe(request, tokenizer, hub, counts, signal, metrics);
}

async function* describe(
  request: DescribeDatasetRequest,
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  counts: Counts,
  signal: AbortSignal,
  metrics: DataStreamMetrics,
): AsyncGenerator<DescribeDatasetResponse> {
  const requested = requestedDataset(request.dataset);
  const { recipe, tokenizer: ref } = requested;
  const dataset = await openDataset(requested, hub, signal);
  const encoder = recipe.packing ? await TokenizerEncoder.create(tokenizer, ref, signal) : undefined;
  const progress = ({ rows, tokens, bytesRead }: DatasetCount): DescribeDatasetResponse => ({
    ...{ rows, bytesRead, bytesTotal: dataset.bytesTotal },
    microBatchesPerEpoch: microBatchesPerEpoch({ rows, tokens, bytesRead }, recipe),
    complete: false,
    datasetHash: "",
  });
  const key = countKey(dataset, recipe, encoder?.key ?? "");
  let count = await counts.find(key);
  if (!count) {
    let reportedAt = performance.now();
    for await (const next of describeDataset(dataset, recipe, encoder, signal)) {
      metrics.counted(next.rows - (count?.rows ?? 0), next.bytesRead - (count?.bytesRead ?? 0));
      count = next;
      if (performance.now() - reportedAt < PROGRESS_INTERVAL_MS) continue;
      reportedAt = performance.now();
      yield progress(count);
    }
    if (!count) throw new Error("a data set was counted without a count");
    await counts.keep(key, count);
  }
  yield { ...progress(count), complete: true, datasetHash: dataset.hash };
}

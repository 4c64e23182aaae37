import {
  checkRows,
  countKey,
  describeDataset,
  microBatchesPerEpoch,
  rowsAreLimited,
  type Dataset,
  type DatasetCount,
  type DataRecipe,
} from "@gradpool/data";
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

/** What a description needs. */
interface Description {
  dataset: Dataset;
  recipe: DataRecipe;
  /** Undefined where nothing is encoded. */
  encoder: TokenizerEncoder | undefined;
  counts: Counts;
  metrics: DataStreamMetrics;
  signal: AbortSignal;
}

export function describeDatasetHandler(
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  counts: Counts,
  metrics: DataStreamMetrics,
): Handlers<DataStreamServiceService>["describeDataset"] {
  return (request, { signal }) => describe(request, tokenizer, hub, { counts, metrics, signal });
}

async function* describe(
  { dataset: spec, checkRows: isChecked = false }: DescribeDatasetRequest,
  tokenizer: Client<TokenizerServiceService>,
  hub: HubSettings,
  parts: Pick<Description, "counts" | "metrics" | "signal">,
): AsyncGenerator<DescribeDatasetResponse> {
  const { signal } = parts;
  const requested = requestedDataset(spec);
  const { recipe, tokenizer: ref } = requested;
  const splits: string[] = [];
  const dataset = await openDataset(requested, hub, signal, (source, split) => splits.push(`${source}: ${split}`));
  const isEncoded = recipe.packing || isChecked;
  const encoder = isEncoded ? await TokenizerEncoder.create(tokenizer, ref, signal) : undefined;
  const check = (until?: DatasetCount["end"]) =>
    encoder && isChecked ? checkRows(dataset, recipe, encoder, until, signal) : undefined;
  // Before a long count; but where not all rows are used, only the count tells which are.
  const isPartial = rowsAreLimited(dataset, recipe);
  const early = isPartial ? undefined : await check();
  const progress = (count: DatasetCount): DescribeDatasetResponse => ({
    ...{ rows: count.rows, bytesRead: count.bytesRead, bytesTotal: dataset.bytesTotal, files: dataset.files.length },
    microBatchesPerEpoch: microBatchesPerEpoch(count, recipe),
    ...{ complete: false, datasetHash: "", checked: undefined, splits },
  });
  const count = yield* counted({ ...parts, dataset, recipe, encoder }, progress);
  const found = isPartial ? await check(count.end) : early;
  const checked = found && { ...found, stepsWithoutTarget: 0 };
  yield { ...progress(count), complete: true, datasetHash: dataset.hash, checked };
}

/** Yields progress, and finally the count. */
async function* counted<T>(
  { dataset, recipe, encoder, counts, metrics, signal }: Description,
  progress: (count: DatasetCount) => T,
): AsyncGenerator<T, DatasetCount> {
  const packer = recipe.packing ? encoder : undefined;
  const key = countKey(dataset, recipe, packer?.key ?? "");
  const known = await counts.find(key);
  if (known) return known;
  let count: DatasetCount | undefined;
  let reportedAt = performance.now();
  for await (const next of describeDataset(dataset, recipe, packer, signal)) {
    metrics.counted(next.rows - (count?.rows ?? 0), next.bytesRead - (count?.bytesRead ?? 0));
    count = next;
    if (performance.now() - reportedAt < PROGRESS_INTERVAL_MS) continue;
    reportedAt = performance.now();
    yield progress(count);
  }
  if (!count) throw new Error("a data set was counted without a count");
  await counts.keep(key, count);
  return count;
}

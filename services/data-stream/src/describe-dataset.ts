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
import type { DescribeDatasetRequest, DescribeDatasetResponse } from "@gradpool/rpc";
import type { JobContext } from "@gradpool/threads";
import type { Counts } from "./counts.js";
import type { DataValues } from "./data-jobs.js";
import { openDataset, type DatasetPlaces } from "./open-dataset.js";
import { remoteEncoder, type RemoteEncoder } from "./remote-encoder.js";
import { requestedDataset } from "./translate.js";

/** Least time between two reports of progress. */
const PROGRESS_INTERVAL_MS = 250;

/** What a description needs. */
interface Description {
  dataset: Dataset;
  recipe: DataRecipe;
  /** Undefined where nothing is encoded. */
  encoder: RemoteEncoder | undefined;
  counts: Counts;
  signal: AbortSignal;
}

/** In a thread. Errors: those of openDataset, checkRows and describeDataset. */
export async function* describe(
  { dataset: spec, checkRows: isChecked = false }: DescribeDatasetRequest,
  places: DatasetPlaces,
  counts: Counts,
  context: JobContext,
): AsyncGenerator<DataValues["describe"]> {
  const { signal } = context;
  const requested = requestedDataset(spec);
  const { recipe } = requested;
  const splits: string[] = [];
  const dataset = await openDataset(requested, places, context, (source, split) => splits.push(`${source}: ${split}`));
  const encoder = recipe.packing || isChecked ? await remoteEncoder(context) : undefined;
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
  const reported = { rows: 0, bytes: 0 };
  const sinceLast = ({ rows, bytesRead }: DatasetCount) => {
    const counted = { rows: rows - reported.rows, bytes: bytesRead - reported.bytes };
    Object.assign(reported, { rows, bytes: bytesRead });
    return counted;
  };
  const counting = counted({ dataset, recipe, encoder, counts, signal });
  let next = await counting.next();
  for (; !next.done; next = await counting.next()) {
    yield { response: progress(next.value), counted: sinceLast(next.value) };
  }
  const { count, isNew } = next.value;
  const found = isPartial ? await check(count.end) : early;
  const checked = found && { ...found, stepsWithoutTarget: 0 };
  const response = { ...progress(count), complete: true, datasetHash: dataset.hash, checked };
  yield { response, counted: isNew ? sinceLast(count) : { rows: 0, bytes: 0 } };
}

/** Yields the count so far, and finally the whole, and whether it was counted now. */
async function* counted({
  dataset,
  recipe,
  encoder,
  counts,
  signal,
}: Description): AsyncGenerator<DatasetCount, { count: DatasetCount; isNew: boolean }> {
  const packer = recipe.packing ? encoder : undefined;
  const key = countKey(dataset, recipe, packer?.key ?? "");
  const known = await counts.find(key);
  if (known) return { count: known, isNew: false };
  let count: DatasetCount | undefined;
  let reportedAt = performance.now();
  for await (count of describeDataset(dataset, recipe, packer, signal)) {
    if (performance.now() - reportedAt < PROGRESS_INTERVAL_MS) continue;
    reportedAt = performance.now();
    yield count;
  }
  if (!count) throw new Error("a data set was counted without a count");
  await counts.keep(key, count);
  return { count, isNew: true };
}

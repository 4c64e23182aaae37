/** A thread that reads a data set: parses its files, renders its chats, and makes micro-batches. */
import { microBatches, type StreamOptions } from "@gradpool/data";
import { serveJobs, type JobContext } from "@gradpool/threads";
import { Counts } from "./counts.js";
import type { DataJob, DataValues } from "./data-jobs.js";
import { describe } from "./describe-dataset.js";
import { openDataset } from "./open-dataset.js";
import { remoteEncoder } from "./remote-encoder.js";
import { microBatchMessage, requestedDataset } from "./translate.js";

type Value = DataValues[DataJob["kind"]];

async function* run(job: DataJob, context: JobContext): AsyncGenerator<Value> {
  if (job.kind === "describe") yield* describe(job.request, job.places, new Counts(job.countsDir), context);
  else yield* stream(job, context);
}

async function* stream(
  { request, places }: Extract<DataJob, { kind: "stream" }>,
  context: JobContext,
): AsyncGenerator<DataValues["stream"]> {
  const { signal } = context;
  const requested = requestedDataset(request.dataset);
  const dataset = await openDataset(requested, places, context);
  const encoder = await remoteEncoder(context);
  const { epochs, cursor } = request;
  const options: StreamOptions = { epochs, signal, ...(cursor && { cursor }) };
  for await (const microBatch of microBatches(dataset, requested.recipe, encoder, options)) {
    yield microBatchMessage(microBatch);
  }
}

serveJobs(run, (value) => ("ids" in value ? [value.ids.buffer as ArrayBuffer] : []));

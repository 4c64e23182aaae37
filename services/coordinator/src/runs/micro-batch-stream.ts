import { GradpoolError } from "@gradpool/errors";
import type { Cursor, DatasetSpec } from "@gradpool/rpc";
import type { MicroBatchBuffer } from "./micro-batch-buffer.js";
import type { CheckpointSource } from "./resume.js";

/** What to read. */
export interface Reading {
  dataset: DatasetSpec;
  /** As found when it was counted. */
  datasetHash: string;
  epochs: number;
  /** Where to start; undefined: at the beginning. */
  cursor: Cursor | undefined;
  /** Reads up to the end of this step. */
  lastStep: number;
}

/**
 * Streams micro-batches into a buffer, with its room, until all steps have arrived; a broken stream resumes after its
 * last cursor. Errors: `failed_precondition` when the data changed since it was counted, and the service's.
 */
export async function fillBuffer(
  { dataset, datasetHash, epochs, cursor: start, lastStep }: Reading,
  buffer: MicroBatchBuffer,
  { services, outages, signal }: CheckpointSource,
  onMicroBatch: (lastOfEpoch: boolean) => void,
): Promise<void> {
  let cursor = start;
  const read = async (progressed: () => void) => {
    const request = { dataset, epochs, cursor };
    for await (const { microBatch } of services.dataStream.openStream(request, { signal })) {
      const cursorAfter = microBatch?.cursorAfter;
      if (!microBatch || !cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
      if (cursorAfter.datasetHash !== datasetHash) throw changedData(dataset, "its files differ");
      await buffer.room(signal);
      buffer.add(microBatch);
      cursor = cursorAfter;
      progressed();
      onMicroBatch(microBatch.lastOfEpoch);
      if (buffer.wholeSteps === lastStep) return;
    }
    throw changedData(dataset, `it ended after ${buffer.wholeSteps} of ${lastStep} steps`);
  };
  await outages.waitOut("data-stream", read, signal);
}

function changedData({ sources }: DatasetSpec, what: string): GradpoolError {
  const message = `the data set ${sources.join(" ")} changed since it was counted: ${what}; submit the run again`;
  return new GradpoolError("failed_precondition", message);
}

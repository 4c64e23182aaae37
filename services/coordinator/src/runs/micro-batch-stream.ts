import { GradpoolError } from "@gradpool/errors";
import type { Cursor, DatasetSpec, MicroBatch } from "@gradpool/rpc";
import type { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { MicroBatchJoiner } from "./micro-batch-joiner.js";
import type { Evaluator } from "./evaluator.js";
import type { PreparedRun } from "./preparation.js";
import { enoughEpochs } from "./prepare.js";
import type { Progress } from "./progress.js";
import type { CheckpointSource } from "./resume.js";
import { noTarget, NO_ROWS } from "./row-counts.js";
import { TargetGroups, type StepPart } from "./target-groups.js";

/** What to read. */
interface Reading {
  dataset: DatasetSpec;
  /** As found when it was counted. */
  datasetHash: string;
  epochs: number;
  /** Where to start; undefined: at the beginning. */
  cursor: Cursor | undefined;
  /** Reads up to the end of this step. */
  lastStep: number;
  /** What of steps is known with the next micro-batch. Errors are the run's. */
  partsOf: (microBatch: MicroBatch) => StepPart[];
  /** Steps among those that are left out. */
  leftOut: () => number;
}

/**
 * Streams the micro-batches of all steps that are still to be made; gives the number of the last one. Errors: those of
 * fillBuffer, and `failed_precondition` when no row of the first epoch has a target.
 */
export async function streamSteps(
  { dataset, datasetHash, recipe, totalSteps: lastStep, tokenizer }: PreparedRun,
  { cursor, steps, rowCounts }: Progress,
  buffer: MicroBatchBuffer,
  source: CheckpointSource,
  onMicroBatch: (part: StepPart) => void,
): Promise<number> {
  const joiner = new MicroBatchJoiner(recipe.passTokens);
  const groups = new TargetGroups(recipe.gradientAccumulation, steps.length, lastStep);
  const partsOf = (microBatch: MicroBatch) => {
    const parts = groups.add(microBatch);
    if (microBatch.lastOfEpoch && groups.steps === 0) throw noTarget(groups.uncounted, recipe, tokenizer);
    return parts.flatMap((part) => joiner.add(part));
  };
  const leftOut = () => rowCounts.stepsWithoutTarget + groups.leftOut;
  const reading = { dataset, datasetHash, epochs: enoughEpochs(recipe), cursor, lastStep, partsOf, leftOut };
  await fillBuffer(reading, buffer, source, onMicroBatch);
  return buffer.wholeSteps;
}

/** Streams the micro-batches of the held-out data. Errors: those of fillBuffer. */
export async function streamHeldOut(
  { evalDataset: dataset, evalDatasetHash: datasetHash }: PreparedRun,
  { step: lastStep, buffer }: Evaluator,
  source: CheckpointSource,
  onMicroBatch: (last: boolean) => void,
): Promise<void> {
  if (!dataset) throw new Error("an evaluation needs held-out data");
  // None are joined, so that gradpool eval gives the same bits.
  const partsOf = (microBatch: MicroBatch) => [{ microBatch, counts: NO_ROWS, lastOfStep: microBatch.lastOfEpoch }];
  const reading = { dataset, datasetHash, epochs: 1, cursor: undefined, lastStep, partsOf, leftOut: () => 0 };
  await fillBuffer(reading, buffer, source, ({ lastOfStep }) => onMicroBatch(lastOfStep));
}

/**
 * Streams micro-batches into a buffer, with its room, until all steps have arrived; a broken stream resumes after its
 * last cursor. Errors: `failed_precondition` when the data changed since it was counted, and the service's.
 */
async function fillBuffer(
  { dataset, datasetHash, epochs, cursor: start, lastStep, partsOf, leftOut }: Reading,
  buffer: MicroBatchBuffer,
  { services, outages, signal }: CheckpointSource,
  onMicroBatch: (part: StepPart) => void,
): Promise<void> {
  let cursor = start;
  const read = async (progressed: () => void) => {
    const request = { dataset, epochs, cursor };
    for await (const { microBatch } of services.dataStream.openStream(request, { signal })) {
      const cursorAfter = microBatch?.cursorAfter;
      if (!microBatch || !cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
      if (cursorAfter.datasetHash !== datasetHash) throw changedData(dataset, "its files differ");
      const parts = partsOf(microBatch);
      cursor = cursorAfter;
      for (const part of parts) {
        await buffer.room(signal);
        buffer.add(part);
        onMicroBatch(part);
      }
      progressed();
      if (buffer.wholeSteps === lastStep) return;
    }
    const { wholeSteps } = buffer;
    if (wholeSteps + leftOut() < lastStep) {
      throw changedData(dataset, `it ended after ${wholeSteps} of ${lastStep} steps`);
    }
  };
  await outages.waitOut("data-stream", read, signal);
}

function changedData({ sources }: DatasetSpec, what: string): GradpoolError {
  const message = `the data set ${sources.join(" ")} changed since it was counted: ${what}; submit the run again`;
  return new GradpoolError("failed_precondition", message);
}

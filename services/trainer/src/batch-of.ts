import { GradpoolError } from "@gradpool/errors";
import type { ModelDescription } from "@gradpool/models";
import type { Batch } from "@gradpool/runtime";
import type { ComputeTask } from "./compute-messages.js";

type BatchTask = Pick<
  ComputeTask,
  | "rows"
  | "rowLength"
  | "ids"
  | "lengths"
  | "targetMask"
  | "documentLengths"
  | "recipe"
  | "loraScaling"
  | "ownRanks"
  | "ownScalings"
>;

/**
 * A task's micro-batch, checked against the model: what would make ONNX Runtime read out of bounds or return
 * NaN is refused here. Errors: `invalid_argument`.
 */
export function batchOf(
  task: BatchTask,
  model: Pick<ModelDescription, "vocabSize" | "maxPositions">,
  padRow: boolean,
): Batch {
  const { rows, rowLength, ids: bytes, lengths, targetMask, documentLengths } = task;
  const { r, dropout } = task.recipe.lora;
  const ranks = [r, ...Object.values(task.ownRanks)];
  const scalings = [task.loraScaling, ...Object.values(task.ownScalings)];
  check(rows >= 1 && rowLength >= 1, `it has ${rows} rows of ${rowLength} tokens`);
  check(
    bytes.byteLength === rows * rowLength * Int32Array.BYTES_PER_ELEMENT,
    `it has ${bytes.byteLength} bytes of ids`,
  );
  check(
    rowLength <= model.maxPositions,
    `rows of ${rowLength} tokens exceed the model's ${model.maxPositions} positions`,
  );
  check(lengths.length === rows, `it has ${lengths.length} lengths for ${rows} rows`);
  const longest = Math.max(...lengths);
  check(longest <= rowLength, `a length of ${longest} exceeds the rows' ${rowLength} tokens`);
  check(
    targetMask.byteLength === 0 || targetMask.byteLength === rows * rowLength,
    `it has ${targetMask.byteLength} bytes of a target mask`,
  );
  check(fitDocuments(lengths, documentLengths), "the lengths of its documents do not add up to those of its rows");
  const ids = new Int32Array(bytes.buffer, bytes.byteOffset, rows * rowLength);
  const vocabSize = model.vocabSize + (padRow ? 1 : 0);
  const stray = ids.find((id) => id < 0 || id >= vocabSize);
  check(stray === undefined, `token id ${stray} is outside the model's vocabulary of ${vocabSize}`);
  check(Math.min(...ranks) >= 1, "its LoRA rank is 0");
  check(dropout >= 0 && dropout < 1, `its LoRA dropout is ${dropout}`);
  const wrong = scalings.find((scaling) => !Number.isFinite(scaling));
  check(wrong === undefined, `its LoRA scaling is ${wrong}`);
  return { rows, rowLength, ids, lengths, targetMask, documentLengths };
}

/** Each row is filled by the next documents, none of which is empty; or there are none at all. */
function fitDocuments(lengths: readonly number[], documentLengths: readonly number[]): boolean {
  if (documentLengths.length === 0) return true;
  const documents = documentLengths.values();
  for (const length of lengths) {
    for (let left = length; left > 0;) {
      const next = documents.next().value ?? 0;
      if (next < 1 || next > left) return false;
      left -= next;
    }
  }
  return documents.next().done === true;
}

function check(holds: boolean, problem: string): void {
  if (holds) return;
  const advice = "check that coordinator and trainer run the same version, and submit the run again";
  throw new GradpoolError("invalid_argument", `the micro-batch cannot be computed: ${problem}; ${advice}`);
}

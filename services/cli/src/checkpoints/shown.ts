/** Checkpoints as people and programs read them. */
import { bytes, localTime } from "@gradpool/format";
import type { Checkpoint } from "@gradpool/rpc";
import { snakeKeys } from "../runs/run-json.js";

/** Longer text from a damaged or foreign checkpoint is cut. */
const MAX_SHOWN = 200;

export const CHECKPOINT_COLUMNS = ["checkpoint", "step", "epoch", "size", "saved", "run", "state"];

/** A row under CHECKPOINT_COLUMNS; `fine` is what is said of one without damage. */
export function checkpointRow(checkpoint: Checkpoint, fine: string): (string | number)[] {
  const { name, step, epoch, sizeBytes, savedAt, runId, damage, recovery } = checkpoint;
  const state = damage ? `damaged: ${damage}` : fine;
  return [
    printable(name),
    step,
    epoch,
    savedAt ? bytes(sizeBytes) : "-",
    savedAt ? localTime(savedAt) : "-",
    printable(runId) || "-",
    printable(recovery ? `${state} (recovery point)` : state),
  ];
}

export const checkpointJson = (checkpoint: Checkpoint) => snakeKeys(checkpoint);

/** Text from elsewhere, without what would move a terminal's cursor. */
export function printable(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "?");
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN - 1)}…` : line;
}

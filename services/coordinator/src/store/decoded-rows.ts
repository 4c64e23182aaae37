/** What rows of the run store say, of columns that both engines have. */
import { WatchRunResponse } from "@gradpool/rpc";
import type { KnownHistory } from "./rules.js";
import type { PlacedUpdate, Reported } from "./run-store.js";

type Row = Record<string, unknown>;

/** Of a row of a history; nothing where a newer gradpool wrote something else. */
export function placedUpdate(row: Row): PlacedUpdate[] {
  const { update } = WatchRunResponse.decode(row["entry"] as Uint8Array);
  return update ? [{ position: Number(row["position"]), update }] : [];
}

export const placedEvaluation = ({ position, update }: PlacedUpdate): KnownHistory["evaluations"] =>
  update.$case === "evaluation" ? [{ position, step: update.value.step }] : [];

/** A run, and what it has reported. */
export function reportedOf({ run_id, events, step, evaluation, checkpoint }: Row): [runId: string, Reported] {
  const numbers = { events: Number(events), step: Number(step), evaluation: Number(evaluation) };
  return [String(run_id), { ...numbers, checkpoint: Number(checkpoint) }];
}

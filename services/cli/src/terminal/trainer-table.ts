import { bytes, localTime } from "@gradpool/format";
import type { Trainer } from "@gradpool/rpc";
import { trainerStateName } from "../runs/run-json.js";
import { table } from "./format.js";

const HEAD = [
  "trainer",
  "device",
  "host",
  "pid",
  "threads",
  "memory",
  "tokens/s",
  "micro-batches",
  "since",
  "run",
  "state",
];

/** A pool's trainers, or a line that there are none. */
export function trainerTable(trainers: readonly Trainer[]): string {
  if (trainers.length === 0) return "no trainers are connected; runs wait for one";
  const rows = trainers.map((trainer) => [
    trainer.trainerId,
    trainer.device,
    trainer.host,
    trainer.pid,
    trainer.threads,
    bytes(trainer.residentBytes),
    Math.round(trainer.tokensPerSecond),
    trainer.microBatches,
    trainer.connectedAt ? localTime(trainer.connectedAt) : "-",
    trainer.runId || (trainer.tasksElsewhere > 0 ? "of another coordinator" : "-"),
    [trainerStateName(trainer.state), trainer.stateReason].filter(Boolean).join(": "),
  ]);
  return table(HEAD, rows);
}

/** gradpool trainer list: who is in the pool. */
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { snakeKeys } from "../runs/run-json.js";
import { bytes, localTime, table } from "../terminal/format.js";

export async function trainerList(flags: { address: string }, { output, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address);
  const trainers = await pool.trainers(interrupts.signal);
  output.document(trainers.map(snakeKeys));
  if (trainers.length === 0) {
    output.say("no trainers are connected; runs wait until one is");
    return;
  }
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
    trainer.runId || "-",
  ]);
  const head = ["trainer", "device", "host", "pid", "threads", "memory", "tokens/s", "micro-batches", "since", "run"];
  output.say(table(head, rows));
}

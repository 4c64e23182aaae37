/** gradpool trainer list: who is in the pool. */
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { trainerJson } from "../runs/run-json.js";
import { trainerTable } from "../terminal/trainer-table.js";

export async function trainerList(flags: { address: string }, { output, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, (text) => output.note(text));
  const trainers = await pool.trainers(interrupts.signal);
  output.document(trainers.map(trainerJson));
  output.say(trainerTable(trainers));
}

/** gradpool trainer list: the pool's trainers. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { Pool } from "../runs/pool.js";
import { trainerJson } from "../runs/run-json.js";
import { trainerTable } from "../terminal/trainer-table.js";

export function addTrainerList(trainer: Command, options: ProgramOptions): void {
  onPool(trainer.command("list").description("list the connected trainers"), options)
    .addHelpText("after", examples("gradpool trainer list", "gradpool trainer list --output json"))
    .action((flags: PoolFlags) => trainerList(flags, contextFor(flags, options)));
}

async function trainerList(flags: { address: string }, { output, config, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const trainers = await pool.trainers(interrupts.signal);
  output.document(trainers.map(trainerJson));
  output.say(trainerTable(trainers));
}

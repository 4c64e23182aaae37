/** gradpool trainer drain and undrain. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { Pool } from "../runs/pool.js";
import { trainerJson, trainerStateName } from "../runs/run-json.js";

type TrainerAction = "drain" | "undrain";

const ACTIONS: Record<TrainerAction, string> = {
  drain: "send a trainer no more work; it finishes what it has",
  undrain: "send work to a drained or quarantined trainer again",
};

export function addTrainerControls(trainer: Command, options: ProgramOptions): void {
  for (const [action, description] of Object.entries(ACTIONS) as [TrainerAction, string][]) {
    onPool(trainer.command(action).description(description).argument("<trainer_id>"), options)
      .addHelpText("after", examples(`gradpool trainer ${action} TRAINER_ID`))
      .action((trainerId: string, flags: PoolFlags) =>
        trainerControl(action, trainerId, flags, contextFor(flags, options)),
      );
  }
}

async function trainerControl(
  action: TrainerAction,
  trainerId: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const trainer = await pool[action](trainerId, interrupts.signal);
  output.document(trainerJson(trainer));
  output.say(`trainer ${trainer.trainerId} is ${trainerStateName(trainer.state)}`);
}

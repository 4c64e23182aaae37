/** gradpool trainer drain and undrain. */
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { trainerJson, trainerStateName } from "../runs/run-json.js";

export type TrainerAction = "drain" | "undrain";

export async function trainerControl(
  action: TrainerAction,
  trainerId: string,
  flags: { address: string },
  { output, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, (text) => output.note(text));
  const trainer = await pool[action](trainerId, interrupts.signal);
  output.document(trainerJson(trainer));
  output.say(`trainer ${trainer.trainerId} is ${trainerStateName(trainer.state)}`);
}

/** gradpool checkpoint delete: removes one checkpoint, damaged or not. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { onePlaceOf } from "../checkpoints/place.js";
import { checkpointCommand, type CheckpointFlags } from "../checkpoints/store-flags.js";
import { withStore, type StoreFlags } from "../checkpoints/store.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, type ProgramOptions } from "../command-options.js";

export function addCheckpointDelete(group: Command, options: ProgramOptions): void {
  checkpointCommand(group, "delete", "remove a checkpoint", options)
    .argument("[name]")
    .action((folder: string, name: string | undefined, flags: CheckpointFlags) =>
      checkpointDelete(folder, name, flags, contextFor(flags, options)),
    );
}

async function checkpointDelete(
  folder: string,
  name: string | undefined,
  flags: StoreFlags,
  context: CommandContext,
): Promise<void> {
  const place = onePlaceOf(folder, name);
  const request = { ...place, requestId: randomUUID() };
  await withStore(flags, context, (store, signal) => store.delete(request, { signal }));
  context.output.document({ deleted: place.name, output_dir: place.outputDir });
  context.output.say(`deleted ${place.outputDir}/${place.name}`);
}

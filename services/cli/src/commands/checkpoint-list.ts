/** gradpool checkpoint list: what an output folder holds, newest first. */
import type { Command } from "commander";
import { placeOf } from "../checkpoints/place.js";
import { CHECKPOINT_COLUMNS, checkpointJson, checkpointRow } from "../checkpoints/shown.js";
import { checkpointCommand, type CheckpointFlags } from "../checkpoints/store-flags.js";
import { withStore, type StoreFlags } from "../checkpoints/store.js";
import type { CommandContext } from "../command-context.js";
import { contextFor, type ProgramOptions } from "../command-options.js";
import { table } from "../terminal/format.js";

export function addCheckpointList(group: Command, options: ProgramOptions): void {
  checkpointCommand(group, "list", "list the checkpoints of an output folder, newest first", options).action(
    (folder: string, flags: CheckpointFlags) => checkpointList(folder, flags, contextFor(flags, options)),
  );
}

/** Says what names, sizes and manifests show; nothing is read but those. */
async function checkpointList(folder: string, flags: StoreFlags, context: CommandContext): Promise<void> {
  const { outputDir, name } = placeOf(folder, undefined);
  const { output } = context;
  const all = await withStore(flags, context, (store, signal) => store.list({ outputDir }, { signal }));
  const checkpoints = all.checkpoints.filter((checkpoint) => name === undefined || checkpoint.name === name);
  output.document(checkpoints.map(checkpointJson));
  if (checkpoints.length === 0) output.say(`no checkpoints in ${outputDir}; train with --save_every N to get some`);
  else {
    output.say(
      table(
        CHECKPOINT_COLUMNS,
        checkpoints.map((checkpoint) => checkpointRow(checkpoint, "ok")),
      ),
    );
  }
}

/** The commands of gradpool checkpoint. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addCheckpointDelete } from "./checkpoint-delete.js";
import { addCheckpointExport } from "./checkpoint-export.js";
import { addCheckpointList } from "./checkpoint-list.js";
import { addCheckpointVerify } from "./checkpoint-verify.js";

export function addCheckpoint(group: Command, options: ProgramOptions): void {
  addCheckpointList(group, options);
  addCheckpointVerify(group, options);
  addCheckpointDelete(group, options);
  addCheckpointExport(group, options);
}

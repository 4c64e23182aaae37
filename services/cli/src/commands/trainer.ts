/** The commands of gradpool trainer. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addTrainerControls } from "./trainer-control.js";
import { addTrainerList } from "./trainer-list.js";

export function addTrainer(group: Command, options: ProgramOptions): void {
  addTrainerList(group, options);
  addTrainerControls(group, options);
}

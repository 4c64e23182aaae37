/** The commands of gradpool config. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addConfigCheck } from "./config-check.js";
import { addConfigShow } from "./config-show.js";

export function addConfig(group: Command, options: ProgramOptions): void {
  addConfigShow(group, options);
  addConfigCheck(group, options);
}

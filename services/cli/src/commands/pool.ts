/** The commands of gradpool pool. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addPoolBackup } from "./pool-backup.js";
import { addPoolMigrate } from "./pool-migrate.js";
import { addPoolStatus } from "./pool-status.js";
import { addPoolVerify } from "./pool-verify.js";

export function addPool(group: Command, options: ProgramOptions): void {
  addPoolStatus(group, options);
  addPoolBackup(group, options);
  addPoolVerify(group, options);
  addPoolMigrate(group, options);
}

import type { CliConfig } from "./config.js";
import type { Interrupts } from "./interrupts.js";
import type { Output } from "./terminal/output.js";

/** What a command works with. */
export interface CommandContext {
  output: Output;
  config: CliConfig;
  interrupts: Interrupts;
}

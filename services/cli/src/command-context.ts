import type { CliConfig } from "./config.js";
import type { Interrupts } from "./interrupts.js";
import type { Output } from "./terminal/output.js";
import type { Terminal } from "./top/screen.js";

/** What a command works with. */
export interface CommandContext {
  output: Output;
  config: CliConfig;
  interrupts: Interrupts;
  /** Where a program can have the whole screen; undefined: not interactive. */
  terminal?: Terminal | undefined;
}

/** Flags of the checkpoint commands. */
import { Option, type Command } from "commander";
import { addAccessFlags, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { address } from "../flags.js";
import type { StoreFlags } from "./store.js";

export type CheckpointFlags = StoreFlags & OutputFlags;

const HELP = `
OUTPUT_DIR is the folder that a run wrote into. A checkpoint's own folder replaces both OUTPUT_DIR and NAME.

Examples:
  gradpool checkpoint list outputs/my-run
  gradpool checkpoint verify outputs/my-run/checkpoint-epoch0-step100
  gradpool checkpoint export outputs/my-run latest --to my-adapter
  gradpool checkpoint delete outputs/my-run checkpoint-epoch0-step100
${HELP_TAIL}`;

/** A command on an output folder and its checkpoint store. */
export function checkpointCommand(
  group: Command,
  name: string,
  description: string,
  { config }: ProgramOptions,
  json = jsonOption(),
): Command {
  const store = new Option(
    "--store <host:port>",
    "a running checkpoint store, also $GRADPOOL_CHECKPOINT_STORE_ADDRESS (default: start one)",
  ).argParser(address);
  if (config.checkpointStoreAddress) store.default(config.checkpointStoreAddress);
  const command = group.command(name).description(description).argument("<output_dir>");
  return addAccessFlags(command.addOption(store)).addOption(json).addHelpText("after", HELP);
}

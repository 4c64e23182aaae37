/** Flags of the commands that use a model in this process: sample, eval and export. */
import { Option, type Command } from "commander";
import { addAccessFlags, jsonOption, type ProgramOptions } from "../command-options.js";
import { address, atLeast } from "../flags.js";

export function addModelFlags(command: Command, { config }: ProgramOptions): Command {
  return addAccessFlags(command)
    .option("--model_id <model>", "folder as save_pretrained writes it, .gguf file, or name on the hub")
    .option("--adapter <place>", "LoRA adapter: an output folder, a checkpoint, a folder PEFT saved, or a run's id")
    .addOption(
      new Option("--address <host:port>", "coordinator that knows the run, also $GRADPOOL_ADDRESS")
        .argParser(address)
        .default(config.address),
    )
    .addOption(jsonOption());
}

export function addThreads(command: Command): Command {
  return command.addOption(new Option("--threads <n>", "threads (default: all cores)").argParser(atLeast(1)));
}

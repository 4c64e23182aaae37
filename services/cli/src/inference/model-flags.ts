/** Flags of the commands that use a model in this process: sample, eval and export. */
import { availableParallelism } from "node:os";
import { chooseGpu, type DeviceRequest, type SessionOptions } from "@gradpool/runtime";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { addAccessFlags, jsonOption, type ProgramOptions } from "../command-options.js";
import { address, atLeast, device } from "../flags.js";

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

export interface ComputeFlags {
  threads?: number;
  device?: DeviceRequest;
}

export function addComputeFlags(command: Command): Command {
  return command
    .addOption(new Option("--threads <n>", "threads (default: all cores)").argParser(atLeast(1)))
    .addOption(new Option("--device <name>", "cpu, cuda, webgpu or auto (default: cpu)").argParser(device));
}

/**
 * How this process computes, whose environment is set for it. Errors: `failed_precondition` when a GPU was requested
 * and cannot be used.
 */
export async function sessionOptions(
  { threads = availableParallelism(), device = { kind: "cpu" } }: ComputeFlags,
  { output, config }: CommandContext,
): Promise<SessionOptions> {
  const chosen = await chooseGpu(device, config.env, {
    onFallback: ({ reason, instead }) => output.note(`computing on ${instead}: ${reason}`),
  });
  Object.assign(process.env, chosen?.environment);
  return { threads, gpu: chosen?.gpu };
}

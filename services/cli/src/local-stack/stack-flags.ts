/** Flags of the commands that start a stack: train and up. */
import type { DeviceRequest } from "@gradpool/runtime";
import { Option, type Command } from "commander";
import { atLeast, device, number } from "../flags.js";
import { UsageError } from "../usage-error.js";
import { DEFAULT_RECOVERY_SECONDS } from "./local-stack.js";

const DEVICE_HELP =
  "auto, cpu, cuda (one device per trainer), cuda:i, webgpu or webgpu:NAME (default: auto, a GPU where one works)";

const RECOVERY_HELP = `at most this many seconds of work are repeated after a crash; 0: no recovery points (default: ${DEFAULT_RECOVERY_SECONDS})`;

export function addStackFlags(command: Command): Command {
  return command
    .addOption(new Option("--trainers <n>", "trainer processes (default: 1)").argParser(atLeast(1)))
    .addOption(new Option("--threads <n>", "threads per trainer (default: cores / trainers)").argParser(atLeast(1)))
    .addOption(new Option("--device <name>", DEVICE_HELP).argParser(device))
    .addOption(
      new Option("--recovery_seconds <x>", RECOVERY_HELP).argParser(number("0 or greater", (value) => value >= 0)),
    );
}

/** Errors: UsageError when one device is named for several trainers. */
export function deviceOf(flags: { device?: DeviceRequest; trainers?: number }): DeviceRequest | undefined {
  const { device, trainers = 1 } = flags;
  if (device?.kind === "cuda" && device.index !== undefined && trainers > 1) {
    throw new UsageError(`--device cuda:${device.index} is one device for ${trainers} trainers; give --device cuda`);
  }
  if (device?.kind === "webgpu" && trainers > 1) {
    throw new UsageError(`--device webgpu is one GPU for ${trainers} trainers; give --trainers 1`);
  }
  return device;
}

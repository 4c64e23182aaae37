/** gradpool doctor: what this machine can do, and what prevents it. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { DEFAULT_PORT } from "../config.js";
import {
  cacheCheck,
  certificatesCheck,
  coresCheck,
  cudaCheck,
  diskCheck,
  hubCheck,
  memoryCheck,
  nodeCheck,
  onnxRuntimeCheck,
  platformCheck,
  poolCheck,
  portsCheck,
  webGpuCheck,
  type Check,
} from "../doctor/checks.js";
import { sayChecks } from "../doctor/report.js";

export function addDoctor(command: Command, options: ProgramOptions): void {
  command
    .option("--online", "also check whether the hub can be reached")
    .addOption(jsonOption())
    .addHelpText("after", examples("gradpool doctor", "gradpool doctor --online --json"))
    .action((flags: DoctorFlags & OutputFlags) => doctor(flags, contextFor(flags, options)));
}

interface DoctorFlags {
  /** Check the hub, too. */
  online?: boolean;
}

/** Errors: `failed_precondition`, naming the checks, when something prevents training on the CPU. */
async function doctor({ online }: DoctorFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const certificates = certificatesCheck(config.address, config.access);
  const checks: [name: string, check: Check | Promise<Check>][] = [
    ["node", nodeCheck(process.versions.node)],
    ["platform", platformCheck()],
    ["cores", coresCheck()],
    ["memory", memoryCheck()],
    ["disk", diskCheck(config.home)],
    ["hub cache", cacheCheck(config.models.hub.cacheDir)],
    ["onnx runtime", onnxRuntimeCheck()],
    ["cuda", cudaCheck(config.env)],
    ["webgpu", webGpuCheck(config.env)],
    ["ports", portsCheck(DEFAULT_PORT)],
    ...(certificates ? [["certificates", certificates] as [string, Check]] : []),
    ["pool", poolCheck(config.address, config.access, interrupts.signal)],
    ...(online ? [["hub", hubCheck(config.models.hub, interrupts.signal)] as [string, Promise<Check>]] : []),
  ];
  await sayChecks(checks, "gradpool cannot train here", output);
}

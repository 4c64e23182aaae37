/** The machine and the versions that figures belong to. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { onnxRuntimeVersion } from "@gradpool/runtime";

/** Of a processor's flags, those that decide how fast products are. */
const TELLING_FLAGS = /^(avx2|fma|avx512[a-z_0-9]*|avx_vnni|amx_[a-z0-9]+|asimd|asimddp|i8mm|bf16|sve2?)$/;

export interface Machine {
  processor: string;
  cores: number;
  instructions: string[];
  memory_bytes: number;
  node: string;
  onnxruntime: string;
  /** torch, transformers and peft; empty where PEFT's side was left out. */
  python: Record<string, string>;
  /** The load average of a minute before anything was measured. */
  load: number;
}

export function describeMachine(python: Record<string, string> | undefined): Machine {
  const info = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1] ?? "";
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    instructions: flags.split(" ").filter((flag) => TELLING_FLAGS.test(flag)),
    memory_bytes: totalmem(),
    node: process.version,
    onnxruntime: onnxRuntimeVersion(),
    python: python ?? {},
    load: loadavg()[0] ?? NaN,
  };
}

/** Of this checkout. */
export const commit = (): string =>
  execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();

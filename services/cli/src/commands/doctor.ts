/** gradpool doctor: what this machine can do, and what stands in the way. */
import { GradpoolError } from "@gradpool/errors";
import type { CommandContext } from "../command-context.js";
import {
  coresCheck,
  cudaCheck,
  diskCheck,
  hubCheck,
  memoryCheck,
  nodeCheck,
  onnxRuntimeCheck,
  platformCheck,
  portsCheck,
  type Check,
} from "../doctor/checks.js";
import { DEFAULT_PORT } from "../config.js";
import { facts } from "../terminal/format.js";

export interface DoctorFlags {
  /** Also ask the hub. */
  online?: boolean;
}

/** Errors: `failed_precondition`, naming the checks, when something prevents training on the processor. */
export async function doctor({ online }: DoctorFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const checks: [name: string, check: Check | Promise<Check>][] = [
    ["node", nodeCheck(process.versions.node)],
    ["platform", platformCheck()],
    ["cores", coresCheck()],
    ["memory", memoryCheck()],
    ["disk", diskCheck(config.home)],
    ["onnx runtime", onnxRuntimeCheck()],
    ["cuda", cudaCheck(config.env)],
    ["ports", portsCheck(DEFAULT_PORT)],
    ...(online ? [["hub", hubCheck(config.hubEndpoint, interrupts.signal)] as [string, Promise<Check>]] : []),
  ];
  const results = await Promise.all(checks.map(async ([name, check]) => ({ name, ...(await check) })));
  output.say(facts(results.map(({ name, state, text }) => [name, `${MARKS[state]}${text}`])));
  const problems = results.filter(({ state }) => state === "problem");
  if (problems.length === 0) {
    output.document({ ok: true, checks: results });
    return;
  }
  output.failWith({ ok: false, checks: results });
  const names = problems.map(({ name }) => name).join(", ");
  throw new GradpoolError("failed_precondition", `gradpool cannot train here; see ${names} above, and mend that first`);
}

const MARKS: Record<Check["state"], string> = { ok: "", note: "note: ", problem: "PROBLEM: " };

/** The command line as people run it: a process, its output and its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const BIN = fileURLToPath(new URL("../../../services/cli/bin/gradpool.js", import.meta.url));

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `gradpool` with its home in `home`, and additional environment variables if given. */
export async function gradpool(
  args: readonly string[],
  home: string,
  more: NodeJS.ProcessEnv = {},
): Promise<CliResult> {
  const env = { ...process.env, GRADPOOL_HOME: home, NO_COLOR: "1", ...more };
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: await stdout, stderr: await stderr };
}

/** Runs a command until it reports the step, then kills it. */
export async function killAtStep(args: readonly string[], home: string, step: number): Promise<void> {
  const env = { ...process.env, GRADPOOL_HOME: home };
  const child = spawn(process.execPath, [BIN, ...args], { env, stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as { event?: string; step?: number };
    if (report.event === "step" && (report.step ?? 0) >= step) break;
  }
  child.kill("SIGKILL");
  await exited;
}

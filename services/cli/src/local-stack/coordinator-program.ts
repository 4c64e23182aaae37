/** Programs of the coordinator that look into run stores, since only it knows their format. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { entryPoint } from "./entry-points.js";

/** The lines of JSON that the program writes. Errors: the one that it ends with; `internal` when it says nothing. */
export async function* linesOfProgram<T extends object>(
  program: "verify-store" | "migrate-store",
  args: readonly string[],
  { signal, env = process.env }: { signal: AbortSignal; env?: NodeJS.ProcessEnv },
): AsyncGenerator<T> {
  const child = spawn(process.execPath, [entryPoint("coordinator", program), ...args], {
    ...{ stdio: ["ignore", "pipe", "inherit"], env, signal },
  });
  const ended = once(child, "exit");
  for await (const line of createInterface(child.stdout)) {
    const said = JSON.parse(line) as T | { code: ErrorCode; message: string };
    if ("code" in said) throw new GradpoolError(said.code, said.message);
    yield said;
  }
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new GradpoolError("internal", `looking at ${args.join(" ")} ended unexpectedly; try again`);
}

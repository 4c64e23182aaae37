/** Makes a session on a GPU in a process of its own, which a driver may end. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const LOG_LIMIT_BYTES = 16 * 2 ** 20;

/** What is known of a probe without an answer. */
export class ProbeFailure extends Error {
  /** `log`: its standard error. `end`: how it ended, where it did not end by itself. */
  constructor(
    readonly log: string,
    readonly end: string | undefined,
  ) {
    super(end ?? "the probe failed");
  }
}

/** Runs the probe of a provider. `log`: its standard error. Errors: ProbeFailure. */
export async function runProbe<Answer>(
  provider: "cuda" | "webgpu",
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
): Promise<{ answer: Answer; log: string }> {
  const manifest = createRequire(import.meta.url).resolve("@gradpool/runtime/package.json");
  const program = join(dirname(manifest), "dist/src", provider, "probe.js");
  const options = { env, timeout: timeoutMs, maxBuffer: LOG_LIMIT_BYTES };
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args], options);
    return { answer: JSON.parse(stdout) as Answer, log: stderr };
  } catch (error) {
    const { stderr = "", signal, killed } = error as { stderr?: string; signal?: string | null; killed?: boolean };
    if (killed) throw new ProbeFailure(stderr, `no answer after ${timeoutMs / 1000} s`);
    throw new ProbeFailure(stderr, signal ? `it ended with ${signal}` : undefined);
  }
}

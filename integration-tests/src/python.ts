/** Python as an oracle, if it is installed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

const PYTHON = process.env["PYTHON"] ?? "python3";

/** Runs a program and returns what it prints, as JSON. */
export async function python(program: string, env: Record<string, string> = {}): Promise<unknown> {
  const child = spawn(PYTHON, ["-c", program], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${PYTHON} ended with ${code}: ${await stderr}`);
  return JSON.parse(await stdout);
}

/** Why tests that need a Python module cannot run; false if they can. */
export async function lacksPython(module: string): Promise<string | false> {
  const found = await python(`import ${module}, json; print(json.dumps(True))`).catch(() => false);
  return found === true ? false : `needs ${PYTHON} with ${module} (set PYTHON to one that has it)`;
}

/** Programs that are measured in processes of their own, and the interpreter for PEFT's side. */
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** Seconds from a program's start. */
export interface Finished {
  lines: { text: string; seconds: number }[];
  seconds: number;
}

/** Runs a program to its end. Errors: when it fails, with the end of what it wrote. */
export async function runChild(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const begin = performance.now();
  const since = () => (performance.now() - begin) / 1000;
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const lines: Finished["lines"] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push({ text: line, seconds: since() }));
  const closed = new Promise<number | string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  const [code, errors] = await Promise.all([closed, text(child.stderr)]);
  if (code === 0) return { lines, seconds: since() };
  const said = errors || lines.map((line) => line.text).join("\n");
  throw new Error(`${[command, ...args].join(" ")} ended with ${code}: ${said.slice(-1500).trim()}`);
}

/** The JSON line that a measuring program prints last. */
export async function runForJson<T>(command: string, args: readonly string[]): Promise<T> {
  const { lines } = await runChild(command, args);
  return JSON.parse(lines.at(-1)?.text ?? "") as T;
}

/** A program of this folder's compiled ones. */
export const benchProgram = (name: string): string => fileURLToPath(new URL(`./${name}`, import.meta.url));

/** A script of the other side, in bench. */
export const pythonScript = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** The command line's program. */
export const GRADPOOL = fileURLToPath(new URL("../../../services/cli/bin/gradpool.js", import.meta.url));

/** The interpreter of the other side: the one that PYTHON names. */
export const PYTHON = process.env["PYTHON"] ?? "python3";

const VERSIONS = `import json, peft, torch, transformers
print(json.dumps({m.__name__: m.__version__ for m in (torch, transformers, peft)}))`;

/** Versions of torch, transformers and peft in PYTHON; undefined where it lacks one of them. */
export function pythonVersions(): Record<string, string> | undefined {
  try {
    const stdout = execFileSync(PYTHON, ["-c", VERSIONS], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return JSON.parse(stdout) as Record<string, string>;
  } catch {
    return undefined;
  }
}

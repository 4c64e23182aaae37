/** Programs that are not on npm: found on this machine, or built once in the repository's cache; and helpers for servers among them. */
import { execFile, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./structure.js";

const run = promisify(execFile);
const CACHE = join(ROOT, ".cache");

export interface Tool {
  /** Path of the program; empty if it is not available. */
  path: string;
  /** For node:test: why tests that need it are skipped, or false. */
  skip: string | false;
}

/** The tool that a script in deploy/ finds, such as "helm". If CI is set, a missing tool is an error. */
export const deployTool = (name: string): Promise<Tool> =>
  toolOf(async () => {
    const script = join(ROOT, "deploy", `${name}.mjs`);
    const { stdout } = await run(process.execPath, [script]);
    return stdout.trim();
  });

/** A Python with the packages of a requirements.txt, in a virtual environment made from PyPI. */
export const pythonWith = (requirements: string): Promise<Tool> => toolOf(() => virtualEnvironment(requirements));

/** The same for a requirements.txt that names all there is to install, whatever its packages say that they need. */
export const pinnedPython = (requirements: string): Promise<Tool> =>
  toolOf(() => virtualEnvironment(requirements, ["--no-deps"]));

export async function toolOf(find: () => Promise<string>): Promise<Tool> {
  try {
    return { path: await find(), skip: false };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const reason = (stderr?.trim() || message).split("\n").at(-1) ?? "it is not available";
    if (process.env["CI"]) throw new Error(`CI needs every tool: ${reason}`, { cause: error });
    return { path: "", skip: reason };
  }
}

async function virtualEnvironment(requirements: string, flags: readonly string[] = []): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex");
  const folder = join(CACHE, `python-${hash.slice(0, 16)}`);
  const python = join(folder, "bin/python");
  if (existsSync(python)) return python;
  await mkdir(CACHE, { recursive: true });
  // Two processes that make it at the same time do not collide: the folder appears complete.
  const fresh = await mkdtemp(join(CACHE, "python-"));
  try {
    await run(process.env["PYTHON"] ?? "python3", ["-m", "venv", fresh]);
    const pip = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      ...flags,
      "--requirement",
      requirements,
    ];
    await run(join(fresh, "bin/python"), pip);
    if (!existsSync(folder)) await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return python;
}

/** Ports of 127.0.0.1 that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** kill -9, if it is still running. */
export async function killServer(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

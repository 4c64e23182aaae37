/** Runs the command line inside the test's process, or as one of its own. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Interrupts } from "../src/interrupts.js";
import { key } from "./fake-pool.js";
import { runCli } from "../src/run-cli.js";

/** The repository, seen from dist/test. */
export const REPOSITORY = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
export const TINY_CODER = join(REPOSITORY, "models/tiny-coder");
const BIN = join(REPOSITORY, "services/cli/bin/gradpool.js");

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A sink that keeps what is written. */
export class Kept {
  text = "";
  isTTY = false;
  columns = 120;

  write(text: string): void {
    this.text += text;
  }
}

/** Runs a command in this process. */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const stdout = new Kept();
  const stderr = new Kept();
  const withKey = { GRADPOOL_KEY: key.reveal(), ...env };
  const code = await runCli(argv, { stdout, stderr, env: withKey, interrupts: new Interrupts(), version: "1.2.3" });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** A command as a process of its own; what it wrote grows as it comes. */
export class Cli {
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  readonly ended: Promise<Finished>;
  #waiting: (() => void)[] = [];

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv = {}, user?: { uid: number; gid: number }) {
    this.child = spawn(process.execPath, [BIN, ...argv], {
      cwd: REPOSITORY,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, GRADPOOL_KEY: key.reveal(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...user,
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#grow("stdout", text));
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#grow("stderr", text));
    this.ended = new Promise((done) =>
      this.child.once("close", (code) => {
        done({ code, stdout: this.stdout, stderr: this.stderr });
        this.#wake();
      }),
    );
  }

  /** Waits until something was written; fails when the process ends first. */
  async written(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match) return match;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended without ${String(pattern)}: ${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #grow(stream: "stdout" | "stderr", text: string): void {
    this[stream] += text;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** A folder that is gone after the test. */
export async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-cli-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The lines of a stream of JSON documents; throws when anything else is among them. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Fails unless `actual` has these properties, whatever else it has. */
export function assertHolds(actual: object | undefined, wanted: object): void {
  const found = new Map(Object.entries(actual ?? {}));
  assert.deepEqual(Object.fromEntries(Object.keys(wanted).map((key) => [key, found.get(key)])), wanted);
}

/** Waits until a condition holds, asking again and again; the test's own time limit ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(20);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Process ids of a stack's services, which each writes into its log, by service. */
export async function servicePids(home: string): Promise<Map<string, number>> {
  const pids = new Map<string, number>();
  for (const stack of await readdir(join(home, "logs"))) {
    // The coordinator's database is beside the logs.
    const files = (await readdir(join(home, "logs", stack))).filter((file) => file.endsWith(".log"));
    for (const file of files) {
      const log = await readFile(join(home, "logs", stack, file), "utf8");
      const ready = jsonLines(log.slice(0, log.lastIndexOf("\n") + 1)).findLast(({ msg }) => msg === "ready");
      if (ready) pids.set(file.replace(/\.log$/, ""), ready["pid"] as number);
    }
  }
  return pids;
}

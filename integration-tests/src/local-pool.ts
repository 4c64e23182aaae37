/** `gradpool up` as people run it: supervised processes, found by their pid files. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { findCertificates, readKeyFile, type PoolKey } from "@gradpool/access";
import { createClient, RunServiceService, withKey, type Client, type RunSpec } from "@gradpool/rpc";
import { BIN } from "./cli.js";

interface Ready extends Pick<LocalPool, "address" | "services"> {
  key_file: string;
}

export class LocalPool implements AsyncDisposable {
  readonly address: string;
  readonly key: PoolKey;
  readonly runs: Client<RunServiceService>;
  /** As gradpool up reports them. */
  readonly services: readonly { name: string; address: string; http_address?: string; pid: number }[];
  readonly #child: ChildProcess;
  readonly #home: string;

  private constructor(child: ChildProcess, { address, services, key_file }: Ready, home: string) {
    this.#child = child;
    this.address = address;
    this.services = services;
    this.#home = home;
    this.key = readKeyFile(key_file);
    const tls = findCertificates({ home }, address);
    this.runs = createClient(RunServiceService, address, [withKey(() => this.key)], tls);
  }

  /** `home`: a folder for its logs, pid files and runs. `more`: environment. */
  static async start(home: string, flags: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<LocalPool> {
    const env = { ...process.env, GRADPOOL_HOME: home, NO_COLOR: "1", ...more };
    const child = spawn(process.execPath, [BIN, "up", "--port", "0", "--json", ...flags], {
      env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const report = JSON.parse(line) as { event?: string };
      if (report.event === "ready") return new LocalPool(child, report as Ready, home);
    }
    throw new Error("gradpool up ended before it was ready");
  }

  async submit(spec: RunSpec): Promise<string> {
    const { run } = await this.runs.submitRun({ requestId: randomUUID(), spec });
    if (!run) throw new Error("the coordinator gave no run");
    return run.runId;
  }

  /** What a service has logged. */
  log(name: string): string {
    const file = readdirSync(this.#home, { recursive: true, encoding: "utf8" }).find((path) =>
      path.endsWith(`/${name}.log`),
    );
    return file === undefined ? "" : readFileSync(join(this.#home, file), "utf8");
  }

  /** Sends a signal to a process by its name, once it is alive and is no longer `afterPid`; returns its process id. */
  async signal(name: string, signal: NodeJS.Signals, afterPid = 0): Promise<number> {
    for (;;) {
      const pid = this.#pidOf(name);
      if (pid !== undefined && pid !== afterPid) {
        process.kill(pid, signal);
        return pid;
      }
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.runs.close();
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }

  #pidOf(name: string): number | undefined {
    const run = join(this.#home, "run");
    for (const stack of existsSync(run) ? readdirSync(run) : []) {
      const file = join(run, stack, `${name}.pid`);
      if (existsSync(file)) return (JSON.parse(readFileSync(file, "utf8")) as { process: { pid: number } }).process.pid;
    }
    return undefined;
  }
}

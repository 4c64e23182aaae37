/** A trainer started by hand, as on another machine, and its log. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../services/trainer/dist/bin/main.js", import.meta.url));

export class LoneTrainer implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `env`: besides the address of its coordinator. */
  static start(coordinator: string, env: NodeJS.ProcessEnv): LoneTrainer {
    const { PATH, HOME } = process.env;
    const own = { GRADPOOL_COORDINATOR_ADDRESS: coordinator, GRADPOOL_THREADS: "1", GRADPOOL_DEVICE: "cpu" };
    return new LoneTrainer(
      fork(MAIN, { env: { PATH, HOME, ...own, ...env }, stdio: ["ignore", "ignore", "pipe", "ipc"] }),
    );
  }

  /** Waits for a line of its log that holds `text`. Errors: when it ends before. */
  async logs(text: string): Promise<void> {
    const stderr = this.#child.stderr;
    if (!stderr) throw new Error("it has no log");
    const lines: string[] = [];
    for await (const line of createInterface({ input: stderr })) {
      if (line.includes(text)) return;
      lines.push(line);
    }
    throw new Error(`the trainer ended without "${text}": ${lines.join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }
}

/** A program on a real pseudo-terminal, made by util-linux's `script`, and what it draws there. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { VirtualScreen } from "./virtual-screen.js";

export interface TerminalOptions {
  columns: number;
  rows: number;
  env?: NodeJS.ProcessEnv;
  /** File for the terminal's name. */
  nameFile: string;
}

/** Far longer than anything takes, so that a failing test ends what it started. */
const PATIENCE_MS = 90_000;

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

export class TerminalProgram implements AsyncDisposable {
  readonly screen: VirtualScreen;
  /** Everything that was written, as it arrived. */
  output = "";
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #nameFile: string;
  #code: number | null | undefined;

  constructor(command: readonly string[], { columns, rows, env, nameFile }: TerminalOptions) {
    this.#nameFile = nameFile;
    this.screen = new VirtualScreen(columns, rows);
    const setUp = `tty > ${quoted(nameFile)}; stty cols ${columns} rows ${rows} -echo`;
    const shell = `${setUp}; exec ${command.map(quoted).join(" ")}`;
    this.#child = spawn("script", ["--quiet", "--flush", "--return", "--command", shell, "/dev/null"], {
      env: { ...process.env, TERM: "xterm-256color", NO_COLOR: undefined, NODE_TEST_CONTEXT: undefined, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
      this.screen.write(text);
    });
    this.ended = once(this.#child, "close").then(([code]) => (this.#code = code as number | null));
  }

  /** Whether programs can be run like this here. */
  static get isPossible(): boolean {
    return ["script", "stty", "tty"].every((name) =>
      (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(`${folder}/${name}`)),
    );
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  resize(columns: number, rows: number): void {
    this.screen.resize(columns, rows);
    const name = readFileSync(this.#nameFile, "utf8").trim();
    execFileSync("stty", ["-F", name, "cols", String(columns), "rows", String(rows)]);
  }

  /** Waits until the screen shows it and `holds` is true of the screen. Errors: the program ended, or it does not appear. */
  async shows(pattern: RegExp, holds: (match: RegExpExecArray) => boolean = () => true): Promise<RegExpExecArray> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const match = pattern.exec(this.screen.text);
      if (match && holds(match)) return match;
      if (this.#code !== undefined) throw new Error(`ended without ${String(pattern)}:\n${this.output}`);
      if (performance.now() > giveUpAt) throw new Error(`no ${String(pattern)} in:\n${this.screen.text}`);
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#code === undefined) this.#child.kill("SIGTERM");
    await this.ended;
  }
}

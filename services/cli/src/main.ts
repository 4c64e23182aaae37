import { readFile } from "node:fs/promises";
import { EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK } from "./exit-codes.js";
import { Interrupts } from "./interrupts.js";
import { runCli } from "./run-cli.js";

const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
/** After a command that failed or was interrupted. */
const LAST_WRITES_MS = 2_000;

const interrupts = new Interrupts();
const onSignal = () => {
  void interrupts.interrupt().then((isForced) => {
    if (isForced) process.exit(EXIT_INTERRUPTED);
  });
};
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
// The reader of the output has gone; the services end with this process.
process.stdout.on("error", () => process.exit(EXIT_FAILED));
process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupts,
  version: manifest.version,
  terminal: process.stdin.isTTY && process.stdout.isTTY ? { input: process.stdin, output: process.stdout } : undefined,
});
// What is still open then, such as a connection that a proxy holds, would keep the process alive.
if (process.exitCode !== EXIT_OK) setTimeout(() => process.exit(), LAST_WRITES_MS).unref();

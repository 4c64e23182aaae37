/** The example client in Go, built from the contracts as its users build it. */
import { execFile } from "node:child_process";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./structure.js";
import { toolOf } from "./tools.js";

const run = promisify(execFile);
const FOLDER = join(ROOT, "examples/clients/go");

/** Modules that go.sum pins come from the Go module proxy. */
export const goClient = () =>
  toolOf(async () => {
    await run("go", ["version"]).catch(() => {
      throw new Error("Go is not installed");
    });
    const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter);
    const env = { ...process.env, PATH: path, CGO_ENABLED: "0" };
    await run("go", ["generate"], { cwd: FOLDER, env });
    await run("go", ["build", "-o", "train"], { cwd: FOLDER, env });
    return join(FOLDER, "train");
  });

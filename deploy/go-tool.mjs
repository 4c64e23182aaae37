// Finds a tool written in Go: on PATH, or in this repository's cache of tools, or builds it from the Go module proxy into
// that cache. `go install` checks the module against Go's checksum database. The cache, `.cache`, is ignored by git.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const CACHE = fileURLToPath(new URL("../.cache", import.meta.url));

export const onPath = (name) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));

/** Prints the tool's path; if there is none, says in one line what is missing and exits with 1. */
export function printGoTool({ name, main, version }) {
  try {
    console.log(onPath(name) ?? installed(name, main, version));
  } catch (error) {
    console.error(`${name} is not on PATH and could not be built: ${error.message}; install it, or Go 1.24 or newer`);
    process.exitCode = 1;
  }
}

function installed(name, main, version) {
  const folder = join(CACHE, `${name}-${version}`);
  const file = join(folder, name);
  if (existsSync(file)) return file;
  if (!onPath("go")) throw new Error("Go is not installed");
  mkdirSync(CACHE, { recursive: true });
  // Two processes that build at the same time do not collide: the folder appears complete.
  const fresh = mkdtempSync(join(CACHE, `${name}-`));
  try {
    execFileSync("go", ["install", `${main}@${version}`], {
      env: { ...process.env, GOBIN: fresh, GOFLAGS: "", CGO_ENABLED: "0" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (!existsSync(file)) renameSync(fresh, dirname(file));
  } catch (error) {
    if (!existsSync(file))
      throw new Error(
        String(error.stderr ?? error.message)
          .trim()
          .split("\n")
          .at(-1),
      );
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return file;
}

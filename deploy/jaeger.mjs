// Prints the path of Jaeger 2: the one on PATH, or one that Go builds from the module proxy's source, with the hashes of
// deploy/jaeger/go.sum, into a folder that git ignores. The module's version is 1.76.0, whose cmd/jaeger is the program of
// Jaeger 2.13. The first build takes some minutes; it lacks the web pages' assets, but has the HTTP API and OTLP. Needs
// no root; fails if there is neither Jaeger nor Go.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CACHE, onPath } from "./go-tool.mjs";

const VERSION = "2.13.0";
const MODULE = "github.com/jaegertracing/jaeger/cmd/jaeger";

const built = join(CACHE, `jaeger-${VERSION}`, "jaeger");

try {
  const found = onPath("jaeger");
  if (!found && !existsSync(built)) build();
  console.log(found ?? built);
} catch (error) {
  console.error(`${error.message}; install jaeger, or Go 1.24.6 or newer`);
  process.exitCode = 1;
}

/** All or nothing: another process may do the same at the same time. */
function build() {
  mkdirSync(dirname(built), { recursive: true });
  const part = `${built}.${process.pid}`;
  const env = { ...process.env, CGO_ENABLED: "0", GOWORK: "off", GOFLAGS: "-mod=readonly" };
  const args = ["build", "-trimpath", "-ldflags", "-s -w", "-o", part, MODULE];
  const { status, error, stderr } = spawnSync("go", args, {
    cwd: fileURLToPath(new URL("jaeger", import.meta.url)),
    env,
    encoding: "utf8",
  });
  if (error) throw new Error(`Jaeger cannot be built: ${error.message}`);
  if (status !== 0) throw new Error(`Jaeger cannot be built: ${stderr.trim().split("\n").at(-1)}`);
  renameSync(part, built);
}

// Prints the path of promtool, which checks Prometheus' configuration and rules: the one on PATH, or that of Debian's
// package, unpacked without root, or one built from the Go module proxy. The latter two are kept in a folder that git ignores.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE, onPath, printGoTool } from "./go-tool.mjs";

const unpacked = join(CACHE, "prometheus-debian");
const inPackage = join(unpacked, "usr/bin/promtool");

const found = onPath("promtool") ?? (existsSync(inPackage) || unpackDebian() ? inPackage : undefined);
if (found) console.log(found);
else printGoTool({ name: "promtool", main: "github.com/prometheus/prometheus/cmd/promtool", version: "v0.310.0" });

/** apt checks the package against the distribution's signed lists. */
function unpackDebian() {
  if (!onPath("apt-get") || !onPath("dpkg-deb")) return false;
  mkdirSync(CACHE, { recursive: true });
  const fresh = mkdtempSync(join(CACHE, "prometheus-"));
  try {
    // Run by root, apt downloads as its own user, which may not write to the folder: it then falls back to root.
    execFileSync("apt-get", ["download", "prometheus"], { cwd: fresh, stdio: "ignore" });
    const name = readdirSync(fresh).find((file) => file.endsWith(".deb")) ?? "";
    execFileSync("dpkg-deb", ["-x", join(fresh, name), join(fresh, "tree")], { stdio: "ignore" });
    if (!existsSync(unpacked)) renameSync(join(fresh, "tree"), unpacked);
  } catch {
    return existsSync(inPackage);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return true;
}

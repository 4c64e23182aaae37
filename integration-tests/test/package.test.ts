/**
 * The package that `make package` builds, in an empty folder, with no network except a registry on this machine, on the Node that
 * runs the tests and those whose programs $GRADPOOL_TEST_NODES lists (separated by colons).
 */
import assert from "node:assert/strict";
import { authorizationOf, readKeyFile } from "@gradpool/access";
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gradpool, NpmRegistry, TINY_CODER } from "@gradpool/integration-tests";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const NODES = [process.execPath, ...(process.env["GRADPOOL_TEST_NODES"] ?? "").split(delimiter).filter(Boolean)];
const TIMEOUT_MS = 900_000;

interface Lockfile {
  packages: Record<
    string,
    { dev?: boolean; hasInstallScript?: boolean; inBundle?: boolean; bundleDependencies?: string[] }
  >;
}

const temporary = await mkdtemp(join(tmpdir(), "gradpool-test-"));
let tarball: string;

/** Runs a program; what it wrote to standard error is in the error. */
const runIn = async (cwd: string, file: string, args: readonly string[], env: NodeJS.ProcessEnv) =>
  (await promisify(execFile)(file, args, { cwd, env, timeout: TIMEOUT_MS, maxBuffer: 1 << 24 })).stdout;

const readLock = async (folder: string, file: string) =>
  JSON.parse(await readFile(join(folder, file), "utf8")) as Lockfile;

const sha256 = async (path: string) =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

before(async () => {
  await runIn(ROOT, process.execPath, ["scripts/package.mjs", temporary], process.env);
  tarball = join(temporary, (await readdir(temporary)).find((name) => name.endsWith(".tgz")) ?? "");
});
after(() => rm(temporary, { recursive: true, force: true }));

for (const [index, node] of NODES.entries()) {
  describe(`installed by ${node}`, { timeout: TIMEOUT_MS }, () => {
    const folder = join(temporary, `installed-${index}`);
    const home = join(folder, "home");
    const output = join(folder, "out");
    let env: NodeJS.ProcessEnv;
    let fetched: Set<string>;
    const npx = (...args: string[]) => runIn(folder, "npx", ["--no-install", ...args], env);

    before(async () => {
      await mkdir(folder);
      await writeFile(
        join(folder, "rows.jsonl"),
        Array.from(
          { length: 4 },
          (_, i) => `${JSON.stringify({ content: `def add_${i}(a, b):\n    return a + b\n` })}\n`,
        ),
      );
      await using registry = await NpmRegistry.start();
      // npm's own variables in this test's environment would affect what is installed and what scripts do.
      const plain = Object.entries(process.env).filter(([name]) => !/^(npm_|ONNXRUNTIME_)/i.test(name));
      env = {
        ...Object.fromEntries(plain),
        ...{ PATH: `${dirname(node)}${delimiter}${process.env["PATH"]}`, GRADPOOL_HOME: home, NO_COLOR: "1" },
        ...{
          npm_config_registry: registry.url,
          npm_config_cache: join(folder, "cache"),
          npm_config_update_notifier: "false",
        },
      };
      await runIn(folder, "npm", ["install", tarball], env);
      fetched = registry.fetched;
    });

    test("npm fetches only this platform's package, and runs no script", async () => {
      assert.deepEqual(
        [...fetched].map((name) => name.replace(/-[\w-]*$/, "")),
        ["@resvg/resvg"],
      );
      const { packages } = await readLock(folder, "node_modules/.package-lock.json");
      const own = Object.entries(packages).filter(([, { inBundle }]) => !inBundle);
      assert.equal(own.length, 2, own.join());
      for (const [path, { hasInstallScript }] of Object.entries(packages)) assert.ok(!hasInstallScript, path);
    });

    test("installs no development dependency", async () => {
      const { packages } = await readLock(ROOT, "package-lock.json");
      const inside = join(folder, "node_modules/gradpool");
      const development = Object.keys(packages).filter((path) => packages[path]?.dev);
      assert.ok(development.includes("node_modules/typescript"));
      const found = development.filter((path) => existsSync(join(inside, path)));
      assert.deepEqual(found, []);
    });

    test("doctor finds what it needs", async () => {
      const report = JSON.parse(await npx("gradpool", "doctor", "--json")) as { node: string };
      const version = await runIn(folder, node, ["--version"], env);
      assert.ok(JSON.stringify(report).includes(version.trim().slice(1)), JSON.stringify(report));
    });

    test("train gives the same bytes as a checkout", async () => {
      const recipe = ["--dataset", "rows.jsonl", "--batch_size", "2", "--gradient_accumulation", "1", "--epochs", "1"];
      const flags = ["--model_id", TINY_CODER, ...recipe, "--max_length", "64", "--trainers", "1"];
      await npx("gradpool", "train", ...flags, "--output_dir", output);
      assert.ok((await readdir(output)).includes("loss.png"));
      const other = join(folder, "checkout-out");
      const rows = flags.map((value) => (value === "rows.jsonl" ? join(folder, value) : value));
      const { code, stderr } = await gradpool(["train", ...rows, "--output_dir", other], join(folder, "checkout-home"));
      assert.equal(code, 0, stderr);
      const file = "adapter_model.safetensors";
      assert.equal(await sha256(join(output, file)), await sha256(join(other, file)));
    });

    test("up serves the dashboard, and stops on Ctrl-C", async () => {
      const bin = join(folder, "node_modules/.bin/gradpool");
      const up = spawn(node, [bin, "up", "--port", "0", "--json"], {
        cwd: folder,
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const [line] = (await once(createInterface({ input: up.stdout }), "line")) as [string];
        const { address, http_address, key_file } = JSON.parse(line) as Record<string, string>;
        const page = await fetch(`http://${http_address}/`, {
          headers: { authorization: authorizationOf(readKeyFile(String(key_file))) },
        });
        assert.match(await page.text(), /<script/);
        assert.deepEqual(JSON.parse(await npx("gradpool", "run", "list", "--address", String(address), "--json")), []);
      } finally {
        const ended = once(up, "exit");
        up.kill("SIGINT");
        assert.deepEqual(await ended, [130, null]);
      }
    });
  });
}

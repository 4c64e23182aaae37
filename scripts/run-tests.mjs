// Runs every compiled test file with Node's own runner, but for the *.long.test.js, which need GRADPOOL_TEST_LONG=1 (`make
// test-long`). The files are named one by one, since what `node --test FOLDER` finds differs between Node versions. Arguments
// choose files by substring, long ones too.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import "./bundle.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const withLong = wanted.length > 0 || process.env.GRADPOOL_TEST_LONG === "1";

const projects = ["packages", "services"]
  .flatMap((group) => readdirSync(join(root, group)).map((name) => join(group, name)))
  .concat("integration-tests", "bench");

const files = projects.flatMap((project) => {
  const dir = join(root, project, "dist/test");
  if (!existsSync(dir)) return [];
  return (
    readdirSync(dir, { recursive: true })
      .filter((name) => name.endsWith(".test.js") && (withLong || !name.endsWith(".long.test.js")))
      // A test without a source is left over from an older build.
      .filter((name) => existsSync(join(root, project, "test", name.replace(/\.js$/, ".ts"))))
      .map((name) => join(project, "dist/test", name))
      .filter((file) => wanted.every((part) => file.includes(part)))
      .sort()
  );
});

// Without files, Node's runner would search for some itself.
if (files.length === 0) {
  console.error(
    `no compiled test matches ${wanted.join(" and ")}; build first, and give substrings of one test's path`,
  );
  process.exit(1);
}

// Tests of WebGPU need a Vulkan driver, and skip without one. Chromium brings SwiftShader, which computes on the
// processor; Vulkan's loader is the package libvulkan1.
const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json";
const loaders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
const hasVulkan = existsSync(swiftShader) && loaders.some((folder) => existsSync(join(folder, "libvulkan.so.1")));
const env = { ...(hasVulkan && { GRADPOOL_TEST_VULKAN: swiftShader }), ...process.env };

// With more, tests that measure time or memory would disturb each other on two cores.
const args = ["--enable-source-maps", "--test", "--test-concurrency=2", "--test-reporter=spec", ...files];
const runner = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env });
runner.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));

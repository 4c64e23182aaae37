import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { mayHaveVulkanGpu, vulkanDrivers } from "../src/webgpu/vulkan-drivers.js";

async function withFiles(files: Record<string, string>, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-vulkan-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("a GPU is looked for where the kernel has one, or drivers are named", async () => {
  for (const [device, expected] of [
    ["dri/renderD128", true],
    ["nvidiactl", true],
    ["dxg", true],
    // A server's console.
    ["dri/card0", false],
    ["null", false],
  ] as const) {
    await withFiles({ [device]: "" }, async (folder) => {
      assert.equal(await mayHaveVulkanGpu({}, folder), expected, device);
      assert.equal(await mayHaveVulkanGpu({ VK_DRIVER_FILES: "/a.json" }, folder), true);
    });
  }
});

test("drivers are those that are named, or in the usual folders, each library once", async () => {
  const manifest = (library: string) => JSON.stringify({ ICD: { library_path: library } });
  const files = {
    "vulkan/icd.d/b.json": manifest("/usr/lib/libvulkan_intel.so"),
    "vulkan/icd.d/a.json": manifest("libGLX_nvidia.so.0"),
    "vulkan/icd.d/c.json": manifest("libvulkan_intel.so"),
    "vulkan/icd.d/d.json": "{}",
  };
  await withFiles(files, async (folder) => {
    const alone = { HOME: folder, XDG_CONFIG_HOME: folder, XDG_CONFIG_DIRS: folder, XDG_DATA_DIRS: folder };
    const found = await vulkanDrivers(alone);
    const libraries = found.map(({ libraryPrefix }) => libraryPrefix);
    assert.deepEqual(libraries.slice(0, 2), ["libGLX_nvidia.so", "libvulkan_intel.so"]);
    const b = join(folder, "vulkan/icd.d/b.json");
    assert.deepEqual(await vulkanDrivers({ ...alone, VK_DRIVER_FILES: `${b}:/no/such/file` }), [
      { manifest: b, libraryPrefix: "libvulkan_intel.so" },
    ]);
  });
});

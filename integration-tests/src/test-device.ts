/** Where the tests of models compute: on the processor, or on WebGPU (`make test-webgpu`). */
import type { Gpu } from "@gradpool/runtime";

/** Lets WebGPU use the Vulkan driver that scripts/run-tests.mjs found; false, or why there is none. */
export function withVulkan(): false | string {
  const driver = process.env["VK_DRIVER_FILES"] ?? process.env["GRADPOOL_TEST_VULKAN"];
  if (driver === undefined) return "needs a Vulkan driver: chromium's SwiftShader and libvulkan1, or VK_DRIVER_FILES";
  process.env["VK_DRIVER_FILES"] = driver;
  return false;
}

const isOnWebGpu = process.env["GRADPOOL_TEST_DEVICE"] === "webgpu";
const missing = isOnWebGpu && withVulkan();
if (missing) throw new Error(missing);

/** For the options of sessions. */
export const TEST_DEVICE: { gpu?: Gpu } = isOnWebGpu ? { gpu: { provider: "webgpu" } } : {};

/** WebGPU adapters of this machine, each found by making a session on it. */
import { GradpoolError } from "@gradpool/errors";
import { listCudaDevices } from "../cuda/devices.js";
import { processorMemory } from "../processor-memory.js";
import { runProbe, type ProbeFailure } from "../run-probe.js";
import { platformAdapter } from "./platform-adapter.js";
import type { ProbeAnswer } from "./probe.js";
import { mayHaveVulkanGpu, vulkanDrivers, type VulkanDriver } from "./vulkan-drivers.js";

export interface WebGpuAdapter extends ProbeAnswer {
  /** i of webgpu:i. */
  index: number;
  /** With its vendor, such as "Intel(R) UHD Graphics 630 (CFL GT2)". */
  name: string;
  backend: "Vulkan" | "Metal" | "Direct3D 12";
  /** Computed by the processor. */
  isSoftware: boolean;
  /** 0: not known. */
  memoryBytes: number;
  /** What a process that uses it has in its environment before it loads ONNX Runtime. */
  environment: Readonly<Record<string, string>>;
}

/** As onnxruntime-node 1.30 has it. */
const PLATFORMS: Readonly<Record<string, WebGpuAdapter["backend"]>> = {
  "linux-x64": "Vulkan",
  "darwin-arm64": "Metal",
  "win32-x64": "Direct3D 12",
  "win32-arm64": "Direct3D 12",
};

export const noWebGpu = (line: string) => new GradpoolError("failed_precondition", line);

/** Compiling the first shaders takes some drivers seconds. */
const PROBE_TIMEOUT_MS = 60_000;

/**
 * The adapters, at least one, the provider's own choice first. Of those that share a Vulkan driver only the first can
 * be reached. Errors: `failed_precondition`, saying in one line why there is none.
 */
export async function listWebGpuAdapters(env: NodeJS.ProcessEnv): Promise<WebGpuAdapter[]> {
  const platform = `${process.platform}-${process.arch}`;
  const backend = PLATFORMS[platform];
  if (!backend) {
    const where = Object.keys(PLATFORMS).join(", ");
    throw noWebGpu(`ONNX Runtime's Node package has WebGPU for ${where}, and this is ${platform}; use --device cpu`);
  }
  if (backend === "Vulkan") return vulkanAdapters(env);
  const { answer } = await probe(env, "");
  const { name, driver } = await platformAdapter();
  const known = { name, backend, isSoftware: isSoftware(name) };
  return [{ ...answer, ...known, driver, index: 0, memoryBytes: await memoryOf(known, env), environment: {} }];
}

/** Whether looking for a GPU, which takes seconds, could find one. */
export async function mayHaveGpu(env: NodeJS.ProcessEnv): Promise<boolean> {
  const backend = PLATFORMS[`${process.platform}-${process.arch}`];
  return backend === "Vulkan" ? mayHaveVulkanGpu(env) : backend !== undefined;
}

async function vulkanAdapters(env: NodeJS.ProcessEnv): Promise<WebGpuAdapter[]> {
  const drivers = await vulkanDrivers(env);
  if (drivers.length === 0) {
    throw noWebGpu("there is no Vulkan driver; install your GPU's, with libvulkan1, or use --device cpu");
  }
  const found: Omit<WebGpuAdapter, "index">[] = [];
  const reasons: string[] = [];
  const attempts = await Promise.allSettled(drivers.map((driver) => vulkanAdapter(driver, env)));
  for (const [i, attempt] of attempts.entries()) {
    if (attempt.status === "fulfilled") found.push(attempt.value);
    else reasons.push(`${nameOf(drivers[i] as VulkanDriver)}: ${GradpoolError.from(attempt.reason).message}`);
  }
  if (found.length === 0) throw noWebGpu(`no Vulkan driver works (${reasons.join("; ")}); use --device cpu`);
  const order = found.length > 1 ? devicesIn((await probe({ ...env, VK_LOADER_DEBUG: "all" }, "")).log) : [];
  const place = ({ name }: { name: string }) => (order.includes(name) ? order.indexOf(name) : order.length);
  return found.sort((a, b) => place(a) - place(b)).map((adapter, index) => ({ ...adapter, index }));
}

async function vulkanAdapter(driver: VulkanDriver, env: NodeJS.ProcessEnv): Promise<Omit<WebGpuAdapter, "index">> {
  const environment = { VK_DRIVER_FILES: driver.manifest, VK_ICD_FILENAMES: driver.manifest };
  const { answer, log } = await probe({ ...env, ...environment, VK_LOADER_DEBUG: "all" }, driver.libraryPrefix);
  const [name = nameOf(driver)] = devicesIn(log);
  const known = { name, backend: "Vulkan" as const, isSoftware: isSoftware(name) };
  return { ...answer, ...known, memoryBytes: await memoryOf(known, env), environment };
}

/** WebGPU does not tell: macOS and software share the processor's, and NVIDIA's driver reports its own. */
async function memoryOf(
  { name, backend, isSoftware }: Pick<WebGpuAdapter, "name" | "backend" | "isSoftware">,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  if (isSoftware || backend === "Metal") return processorMemory();
  const devices = /nvidia/i.test(name) ? await listCudaDevices(env).catch(() => []) : [];
  return devices.find((device) => device.name === name)?.memoryBytes ?? 0;
}

/** The driver's own, where the loader does not say what device it has. */
const nameOf = ({ libraryPrefix }: VulkanDriver) => libraryPrefix.replace(/^lib(vulkan_|vk_)?|\.so$/g, "");

/** Names of the devices that Vulkan's loader logged, discrete GPUs first, as the provider prefers them. */
export function devicesIn(log: string): string[] {
  const [, sorted = ""] = /Sorted order:\s*\n([^]*)/.exec(log) ?? [];
  const names: string[] = [];
  for (const line of sorted.split("\n")) {
    const name = /^INFO \| DRIVER:\s+\[\d+\] (.*?)\s*(?:\[default\])?\s*$/.exec(line)?.[1];
    if (name === undefined) break;
    names.push(name);
  }
  return names;
}

const isSoftware = (name: string) => /swiftshader|llvmpipe|lavapipe|basic render/i.test(name);

async function probe(env: NodeJS.ProcessEnv, library: string): Promise<{ answer: ProbeAnswer; log: string }> {
  const probeEnv = { ...env, ORT_DISABLE_TELEMETRY: "1" };
  try {
    return await runProbe<ProbeAnswer>("webgpu", [library], probeEnv, PROBE_TIMEOUT_MS);
  } catch (error) {
    throw noWebGpu(whyNot(error as ProbeFailure));
  }
}

function whyNot({ log, end }: ProbeFailure): string {
  if (/Couldn't load libvulkan|libvulkan\.so\.1: cannot open/i.test(log)) return "libvulkan1 is not installed";
  if (end) return end;
  const reason = /^Error: (?:.* was false\. )?(.*)$/m.exec(log)?.[1]?.trim();
  return reason ? reason.slice(0, 200) : "no reason given";
}

/** What a trainer reports about its device. */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { chooseGpu, processorMemory, type Gpu, type UsableCudaDevice, type WebGpuAdapter } from "@gradpool/runtime";
import type { Logger } from "@gradpool/service-kit";
import type { TrainerConfig } from "./config.js";

export interface Device {
  /** For people, such as "cpu". */
  device: string;
  /** Devices of one class compute the same bits (I2), such as "cpu-x64-avx512". */
  deviceClass: string;
  /** 0: unknown. */
  memoryBytes: number;
  /** 0: no bound is known. */
  largestBufferBytes: number;
}

export interface ChosenDevice extends Device {
  /** What sessions take; undefined: the processor. */
  gpu: Gpu | undefined;
}

/**
 * The requested device. With "auto" that is CUDA if a session can be created there, else WebGPU on a real GPU, else the
 * processor, and the log says why. Sets this process's environment for it, which its libraries read when they
 * are loaded. Errors: `failed_precondition` when a GPU was requested and cannot be used.
 */
export async function chooseDevice(
  { device, env }: Pick<TrainerConfig, "device" | "env">,
  log: Logger,
): Promise<ChosenDevice> {
  const chosen = await chooseGpu(device, env, {
    onFallback: ({ reason, instead }) => log.info({ reason }, `computing on ${instead}: no better GPU can be used`),
  });
  if (!chosen) return { ...(await cpuDevice()), gpu: undefined };
  const { gpu, environment } = chosen;
  Object.assign(process.env, environment);
  const known = { device: chosen.device, gpu };
  const { webgpu, cuda } = chosen;
  if (webgpu) {
    const deviceClass = webGpuClass(webgpu, await cpuDevice());
    return { ...known, deviceClass, memoryBytes: webgpu.memoryBytes, largestBufferBytes: webgpu.largestBuffer };
  }
  const deviceClass = cudaClass(cuda, environment["NVIDIA_TF32_OVERRIDE"] === "1");
  return { ...known, deviceClass, memoryBytes: cuda.memoryBytes, largestBufferBytes: 0 };
}

/**
 * What a WebGPU adapter's bits depend on: backend, model and driver, in which the compiler of its shaders is; for one
 * that the processor computes also that.
 */
export function webGpuClass({ backend, name, driver, isSoftware }: WebGpuAdapter, processor: Device): string {
  const parts = [
    `webgpu-${slug(backend)}-${slug(name)}`,
    ...(driver ? [`driver${slug(driver)}`] : []),
    ...(isSoftware ? [processor.deviceClass] : []),
  ];
  return parts.join("-");
}

/** What a CUDA device's bits depend on: model, compute capability, driver, cuBLAS, and whether it rounds to TF32. */
export function cudaClass(device: UsableCudaDevice, tf32: boolean): string {
  const { name, computeCapability, driverVersion, cublasVersion } = device;
  const parts = [
    `cuda-${slug(name)}`,
    ...(computeCapability ? [`sm${computeCapability.replace(".", "")}`] : []),
    ...(driverVersion ? [`driver${driverVersion}`] : []),
    ...(cublasVersion ? [`cublas${cublasVersion}`] : []),
    ...(tf32 ? ["tf32"] : []),
  ];
  return parts.join("-");
}

/**
 * Instruction sets for which ONNX Runtime has separate float32 kernels, which may round differently
 * than the next one's; widest first. A set counts when /proc/cpuinfo lists all of its flags.
 */
const KERNELS: Record<string, readonly { name: string; flags: readonly string[] }[]> = {
  x64: [
    { name: "avx512", flags: ["avx512f", "avx2", "fma"] },
    { name: "avx2", flags: ["avx2", "fma"] },
    { name: "avx", flags: ["avx"] },
    { name: "sse2", flags: ["sse2"] },
  ],
  arm64: [
    { name: "sme2", flags: ["sme2"] },
    { name: "sme", flags: ["sme"] },
    { name: "sve", flags: ["sve"] },
    { name: "neon", flags: ["asimd"] },
  ],
};

/** The processor. */
export async function cpuDevice(): Promise<Device> {
  const cpuInfo = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const deviceClass = cpuClass(process.arch, cpuInfo, cpus()[0]?.model ?? "");
  return { device: "cpu", deviceClass, memoryBytes: processorMemory(), largestBufferBytes: 0 };
}

/**
 * Class of a processor: by its instruction set where /proc/cpuinfo has it, else by its model, since
 * equal models have equal instruction sets.
 */
export function cpuClass(arch: string, cpuInfo: string, model: string): string {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo)?.[1]?.split(/\s+/));
  const kernel = KERNELS[arch]?.find((candidate) => candidate.flags.every((flag) => flags.has(flag)));
  return `cpu-${arch}-${kernel?.name ?? slug(model)}`;
}

function slug(model: string): string {
  return (
    model
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "") || "unknown"
  );
}

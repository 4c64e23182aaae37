/** What a trainer says of the device it computes on. */
import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";

export interface Device {
  /** As people know it, such as "cpu". */
  device: string;
  /** Devices of one class compute the same bits (I2), such as "cpu-x64-avx512". */
  deviceClass: string;
  memoryBytes: number;
}

/**
 * Instruction sets for which ONNX Runtime has float32 kernels of their own, which may round otherwise
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

/** The processor: the one device of this trainer. */
export async function cpuDevice(): Promise<Device> {
  const cpuInfo = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const deviceClass = cpuClass(process.arch, cpuInfo, cpus()[0]?.model ?? "");
  // 0, or more than there is: no limit on the process.
  const limit = process.constrainedMemory() || Infinity;
  return { device: "cpu", deviceClass, memoryBytes: Math.min(limit, totalmem()) };
}

/**
 * Class of a processor: by its instruction set where /proc/cpuinfo tells it, else by its model, since
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

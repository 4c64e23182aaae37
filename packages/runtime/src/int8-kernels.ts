/** Whether the processor's fast products of eight bits are exact. */
import { readFile } from "node:fs/promises";

/**
 * ONNX Runtime multiplies uint8 with int8 on x64 by pairs whose sums are cut at 16 bits, unless the processor has VNNI. Then
 * weights must be uint8: slower, to the same bits. Where flags cannot be read, that is what is safe.
 */
export async function multipliesInt8Exactly(
  arch: string = process.arch,
  cpuInfoFile = "/proc/cpuinfo",
): Promise<boolean> {
  if (arch !== "x64") return true;
  const cpuInfo = await readFile(cpuInfoFile, "utf8").catch(() => "");
  return /^flags\s*:.*\bavx(512)?_vnni\b/m.test(cpuInfo);
}

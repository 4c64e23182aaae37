/** The adapter's name and driver as macOS and Windows report them: ONNX Runtime's Node package tells neither. */
import { execFile } from "node:child_process";
import { release } from "node:os";
import { promisify } from "node:util";

export interface PlatformAdapter {
  name: string;
  /** What its bits may depend on besides. */
  driver: string;
}

const QUERY_TIMEOUT_MS = 30_000;
const WINDOWS_QUERY = "Get-CimInstance Win32_VideoController | Select-Object Name,DriverVersion | ConvertTo-Json";

export async function platformAdapter(): Promise<PlatformAdapter> {
  if (process.platform === "darwin") {
    const report = await ask("system_profiler", ["-json", "SPDisplaysDataType"]);
    return { name: macName(report), driver: release() };
  }
  return windowsAdapter(await ask("powershell", ["-NoProfile", "-Command", WINDOWS_QUERY]));
}

async function ask(program: string, args: readonly string[]): Promise<unknown> {
  try {
    return JSON.parse((await promisify(execFile)(program, args, { timeout: QUERY_TIMEOUT_MS })).stdout);
  } catch {
    return undefined;
  }
}

/** Metal's driver is a part of macOS, and Macs with Apple's processors have one GPU. */
export function macName(report: unknown): string {
  const [gpu] = (report as { SPDisplaysDataType?: { sppci_model?: string }[] } | undefined)?.SPDisplaysDataType ?? [];
  return gpu?.sppci_model ?? "Apple GPU";
}

/** The provider takes the fastest, and does not say which that is: the name and driver are those of all. */
export function windowsAdapter(report: unknown): PlatformAdapter {
  const all = [report].flat() as ({ Name?: string; DriverVersion?: string } | undefined)[];
  const real = all.filter((one) => one?.Name && !/remote|virtual|basic display/i.test(one.Name));
  const joined = (values: (string | undefined)[]) => values.filter(Boolean).join(" and ");
  return {
    name: joined(real.map((one) => one?.Name)) || "unknown GPU",
    driver: joined(real.map((one) => one?.DriverVersion)),
  };
}

/** NVIDIA devices of this machine, under CUDA's numbers. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { GradpoolError } from "@gradpool/errors";

export interface CudaDevice {
  /** i of cuda:i. */
  index: number;
  /** Such as "NVIDIA H100 80GB HBM3". */
  name: string;
  /** 0: not known. */
  memoryBytes: number;
  /** Such as "580.159.04"; empty where the driver does not report it. */
  driverVersion: string;
  /** Such as "9.0"; empty where the driver does not report it. */
  computeCapability: string;
}

/** nvidia-smi takes a second for each device when it has to wake the driver. */
const QUERY_TIMEOUT_MS = 20_000;
const FIELDS = ["index", "uuid", "name", "memory.total", "driver_version", "compute_cap"];
const MIB = 2 ** 20;

/**
 * Environment in which CUDA computes as the rest of gradpool means it: devices in nvidia-smi's order, not
 * the fastest first, and float32 products in float32. By default, ONNX Runtime rounds their
 * operands to TF32's 10 bits; NVIDIA_TF32_OVERRIDE=1 chooses that.
 */
export function cudaEnvironment(env: NodeJS.ProcessEnv): { CUDA_DEVICE_ORDER: string; NVIDIA_TF32_OVERRIDE: string } {
  return { CUDA_DEVICE_ORDER: "PCI_BUS_ID", NVIDIA_TF32_OVERRIDE: env["NVIDIA_TF32_OVERRIDE"] === "1" ? "1" : "0" };
}

/**
 * The devices that CUDA may use, at least one. `procFolder` is where the driver describes itself.
 * Errors: `failed_precondition`, saying in one line why there is none.
 */
export async function listCudaDevices(
  env: NodeJS.ProcessEnv,
  procFolder = "/proc/driver/nvidia",
): Promise<CudaDevice[]> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    const here = `${process.platform} on ${process.arch}`;
    throw noCuda(
      `ONNX Runtime's Node package supports CUDA only on Linux on x64, and this is ${here}; use --device cpu`,
    );
  }
  const all = (await fromNvidiaSmi(env)) ?? (await fromProc(procFolder));
  if (all.length === 0) throw noCuda("the NVIDIA driver lists no device; check nvidia-smi, or use --device cpu");
  const visible = visibleOf(all, env["CUDA_VISIBLE_DEVICES"]);
  if (visible.length === 0) {
    const given = JSON.stringify(env["CUDA_VISIBLE_DEVICES"]);
    throw noCuda(`CUDA_VISIBLE_DEVICES=${given} hides all ${all.length} devices; unset it, or use --device cpu`);
  }
  return visible.map(({ uuid: _uuid, ...device }, index) => ({ ...device, index }));
}

/** Errors: those of listCudaDevices; `failed_precondition` when there are fewer devices than trainers. */
export async function requireCudaDevices(trainers: number, env: NodeJS.ProcessEnv): Promise<void> {
  const { length } = await listCudaDevices(env);
  if (trainers <= length) return;
  const there = length === 1 ? "is 1 CUDA device" : `are ${length} CUDA devices`;
  throw noCuda(
    `${trainers} trainers need a CUDA device each, and there ${there}; use --trainers ${length} or --device cpu`,
  );
}

export const noCuda = (line: string) => new GradpoolError("failed_precondition", line);

type Listed = CudaDevice & { uuid: string };

/** Undefined where there is no nvidia-smi, as in a slim container. */
async function fromNvidiaSmi(env: NodeJS.ProcessEnv): Promise<Listed[] | undefined> {
  const query = [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"];
  let listing: string;
  try {
    listing = (await promisify(execFile)("nvidia-smi", query, { env, timeout: QUERY_TIMEOUT_MS })).stdout;
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (code === "ENOENT") return undefined;
    const [line = `it ended with ${String(code)}`] = `${stdout}\n${stderr}`.split("\n").filter((text) => text.trim());
    throw noCuda(`nvidia-smi fails (${line.trim()}); repair the NVIDIA driver, or use --device cpu`);
  }
  return listing.split("\n").filter(Boolean).map(deviceOf);
}

function deviceOf(line: string): Listed {
  const [index, uuid = "", name, memory, driverVersion = "", computeCapability = ""] = line
    .split(",")
    .map((field) => field.trim());
  if (!/^\d+$/.test(index ?? "") || !name) {
    const said = JSON.stringify(line.slice(0, 100));
    throw noCuda(`nvidia-smi reports ${said} instead of a device; repair the NVIDIA driver, or use --device cpu`);
  }
  const memoryBytes = (Number(memory) || 0) * MIB;
  return { index: Number(index), uuid, name, memoryBytes, driverVersion, computeCapability };
}

/** What the kernel module reports: model and version, in the order of the PCI bus. */
async function fromProc(procFolder: string): Promise<Listed[]> {
  const gpus = (await readdir(join(procFolder, "gpus")).catch(() => [])).sort();
  if (gpus.length === 0) {
    throw noCuda(
      "there is no NVIDIA driver (nvidia-smi is not in PATH); install driver 580 or newer, or use --device cpu",
    );
  }
  const version = await readFile(join(procFolder, "version"), "utf8").catch(() => "");
  const driverVersion = /\b(\d+\.\d+(?:\.\d+)?)\b/.exec(version)?.[1] ?? "";
  return Promise.all(
    gpus.map(async (gpu, index) => {
      const text = await readFile(join(procFolder, "gpus", gpu, "information"), "utf8").catch(() => "");
      const field = (name: string) => new RegExp(`^${name}:\\s*(.+?)\\s*$`, "m").exec(text)?.[1];
      const [name, uuid] = [field("Model") ?? "NVIDIA device", field("GPU UUID") ?? ""];
      return { index, uuid, name, memoryBytes: 0, driverVersion, computeCapability: "" };
    }),
  );
}

/** As the CUDA runtime reads the variable: numbers or the beginnings of UUIDs, up to the first that is not a device. */
function visibleOf(all: Listed[], given: string | undefined): Listed[] {
  if (given === undefined) return all;
  const visible: Listed[] = [];
  for (const word of given.split(",").map((text) => text.trim())) {
    const device = all.find(({ index, uuid }) => word === String(index) || (word !== "" && uuid.startsWith(word)));
    if (!device) break;
    visible.push(device);
  }
  return visible;
}

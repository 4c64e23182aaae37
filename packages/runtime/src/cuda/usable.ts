/** Whether training can run on a CUDA device, checked by making a session there; and if not, why. */
import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { runProbe, type ProbeFailure } from "../run-probe.js";
import { cudaEnvironment, listCudaDevices, noCuda, type CudaDevice } from "./devices.js";
import type { ProbeAnswer } from "./probe.js";

export interface UsableCudaDevice extends CudaDevice, ProbeAnswer {}

/** The provider is 270 MB, read from disk the first time. */
const PROBE_TIMEOUT_MS = 120_000;

/**
 * The device, once a session was made on it. `onnxRuntime` is onnxruntime-node's main file. Errors:
 * `failed_precondition`, saying in one line why it cannot be used and what to do.
 */
export async function requireCudaDevice(
  index: number,
  env: NodeJS.ProcessEnv,
  onnxRuntime = createRequire(import.meta.url).resolve("onnxruntime-node"),
): Promise<UsableCudaDevice> {
  const devices = await listCudaDevices(env);
  const device = devices[index];
  if (!device) {
    const there = devices.map(({ index, name }) => `cuda:${index} (${name})`).join(", ");
    throw noCuda(`there is no cuda:${index}, only ${there}; name one of those, or use --device cpu`);
  }
  const probeEnv = { ...env, ...cudaEnvironment(env) };
  try {
    const { answer } = await runProbe<ProbeAnswer>("cuda", [String(index), onnxRuntime], probeEnv, PROBE_TIMEOUT_MS);
    return { ...device, ...answer };
  } catch (error) {
    throw noCuda(await whyNot(device, error as ProbeFailure, env));
  }
}

const GET_PROVIDER = "see docs/gpu.md, or use --device cpu";

/** Finds the cause in what ONNX Runtime logged, which has dlopen's own message. */
async function whyNot(
  { index, driverVersion }: CudaDevice,
  { end, log }: ProbeFailure,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const [, library = "", reason = ""] = /Failed to load library (\S+) with error: (.*)/.exec(log) ?? [];
  const missing = /(lib[\w.+-]+\.so[\d.]*): cannot open shared object file: No such file/.exec(reason)?.[1];
  if (library && missing?.startsWith("libonnxruntime_providers_")) {
    return `ONNX Runtime's CUDA provider is not installed (${missing} is missing); ${GET_PROVIDER}`;
  }
  if (missing === "libcuda.so.1") {
    return "the NVIDIA driver's libcuda.so.1 is not found; install the driver's libraries, or use --device cpu";
  }
  const wanted = /^lib(?:cublas|cublasLt|cudart)\.so\.(\d+)$/.exec(missing ?? "")?.[1];
  if (wanted) {
    const found = await cudaMajors(env);
    const only = found.length > 0 ? `only CUDA ${found.join(" and ")} is found` : "no CUDA is found";
    return `the CUDA provider needs CUDA ${wanted} (${missing}), and ${only}; install CUDA ${wanted}'s libraries or name their folder in LD_LIBRARY_PATH, or use --device cpu`;
  }
  if (missing) {
    return `the CUDA provider needs ${missing}, which is not found; install it or name its folder in LD_LIBRARY_PATH, or use --device cpu`;
  }
  if (library) return `ONNX Runtime's CUDA provider is damaged (${reason.trim()}); install it again: ${GET_PROVIDER}`;
  if (/driver version is insufficient/i.test(log)) {
    return `the NVIDIA driver ${driverVersion} is too old for the CUDA provider; install driver 580 or newer, or use --device cpu`;
  }
  const line = log
    .split("\n")
    .find((text) => /error|fail/i.test(text))
    ?.trim()
    .slice(0, 300);
  return `ONNX Runtime cannot use cuda:${index} (${end ?? line ?? "no reason given"}); check nvidia-smi, or use --device cpu`;
}

/** Major versions of CUDA whose cuBLAS is in a usual folder for libraries. */
async function cudaMajors(env: NodeJS.ProcessEnv): Promise<number[]> {
  const folders = [
    ...(env["LD_LIBRARY_PATH"] ?? "").split(":").filter(Boolean),
    "/usr/local/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
  ];
  const files = (await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])))).flat();
  const majors = files.flatMap((file) => /^libcublas\.so\.(\d+)/.exec(file)?.[1] ?? []).map(Number);
  return [...new Set(majors)].sort((a, b) => a - b);
}

import { GradpoolError } from "@gradpool/errors";
import { cudaEnvironment, listCudaDevices, requireCudaDevices } from "./cuda/devices.js";
import { requireCudaDevice, type UsableCudaDevice } from "./cuda/usable.js";
import type { DeviceRequest } from "./device-request.js";
import type { Gpu } from "./session-options.js";
import { mayHaveGpu, type WebGpuAdapter } from "./webgpu/adapters.js";
import { requireWebGpuAdapter } from "./webgpu/usable.js";

export type ChosenGpu = {
  /** For people, such as "cuda:0". */
  device: string;
  gpu: Gpu;
  /** What this process has to have in its environment before it loads ONNX Runtime. */
  environment: Readonly<Record<string, string>>;
} & ({ cuda: UsableCudaDevice; webgpu?: undefined } | { cuda?: undefined; webgpu: WebGpuAdapter });

/** What "auto" does not use. */
export interface Fallback {
  /** In one line. */
  reason: string;
  /** What computes, such as "the CPU". */
  instead: string;
  /** Whether it is a GPU of this machine, rather than one that is not there. */
  isThere: boolean;
}

export interface GpuWishes {
  /** Processes that will compute; with CUDA each has a device of its own. */
  processes?: number;
  onFallback?: (fallback: Fallback) => void;
}

/**
 * The requested GPU, on which a session has been made; of several CUDA devices the first. Undefined: the processor. The
 * one place that knows what "auto" means. Errors: `failed_precondition`, saying in one line why the requested one
 * cannot be used.
 */
export async function chooseGpu(
  request: DeviceRequest,
  env: NodeJS.ProcessEnv,
  wishes: GpuWishes = {},
): Promise<ChosenGpu | undefined> {
  switch (request.kind) {
    case "cpu":
      return undefined;
    case "cuda":
      return cudaGpu(request.index ?? 0, env);
    case "webgpu":
      return webGpu(request.adapter, env);
    case "auto":
      return autoGpu(env, wishes);
  }
}

/** CUDA with a device for each process, else WebGPU on a real GPU for a single one. */
async function autoGpu(
  env: NodeJS.ProcessEnv,
  { processes = 1, onFallback = () => {} }: GpuWishes,
): Promise<ChosenGpu | undefined> {
  const hasCuda = await listCudaDevices(env).then(
    () => true,
    () => false,
  );
  const mayHaveWebGpu = processes === 1 && (await mayHaveGpu(env));
  const reasons: string[] = [];
  const attempt = async (choice: () => Promise<ChosenGpu>): Promise<ChosenGpu | undefined> => {
    try {
      return await choice();
    } catch (reason) {
      reasons.push(GradpoolError.from(reason).message);
      return undefined;
    }
  };
  const cuda = await attempt(() => requireCudaDevices(processes, env).then(() => cudaGpu(0, env)));
  if (cuda) return cuda;
  const gpu = mayHaveWebGpu ? await attempt(() => webGpu(undefined, env)) : undefined;
  const instead = gpu ? `${gpu.webgpu?.name} by WebGPU` : "the CPU";
  onFallback({ reason: reasons.join("; "), instead, isThere: hasCuda || (mayHaveWebGpu && !gpu) });
  return gpu;
}

async function cudaGpu(index: number, env: NodeJS.ProcessEnv): Promise<ChosenGpu> {
  const cuda = await requireCudaDevice(index, env);
  return { device: `cuda:${index}`, gpu: { provider: "cuda", index }, environment: cudaEnvironment(env), cuda };
}

async function webGpu(adapter: string | undefined, env: NodeJS.ProcessEnv): Promise<ChosenGpu> {
  const webgpu = await requireWebGpuAdapter(adapter, env);
  const { index, environment, largestBuffer, float16 } = webgpu;
  return { device: `webgpu:${index}`, gpu: { provider: "webgpu", largestBuffer, float16 }, environment, webgpu };
}

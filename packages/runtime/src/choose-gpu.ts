import { GradpoolError } from "@gradpool/errors";
import { cudaEnvironment } from "./cuda/devices.js";
import { requireCudaDevice, type UsableCudaDevice } from "./cuda/usable.js";
import type { DeviceRequest } from "./device-request.js";
import type { Gpu } from "./session-options.js";
import type { WebGpuAdapter } from "./webgpu/adapters.js";
import { requireWebGpuAdapter } from "./webgpu/usable.js";

export type ChosenGpu = {
  /** For people, such as "cuda:0". */
  device: string;
  gpu: Gpu;
  /** What this process has to have in its environment before it loads ONNX Runtime. */
  environment: Readonly<Record<string, string>>;
} & ({ cuda: UsableCudaDevice; webgpu?: undefined } | { cuda?: undefined; webgpu: WebGpuAdapter });

/**
 * The requested GPU, on which a session has been made; undefined: the processor. `onReason` is called with why "auto"
 * chose that. Errors: `failed_precondition`, saying in one line why the requested one cannot be used.
 */
export async function chooseGpu(
  request: DeviceRequest,
  env: NodeJS.ProcessEnv,
  onReason: (line: string) => void = () => {},
): Promise<ChosenGpu | undefined> {
  switch (request.kind) {
    case "cpu":
      return undefined;
    case "cuda":
      return cudaGpu(request.index ?? 0, env);
    case "webgpu":
      return webGpu(request.adapter, env);
    case "auto":
      try {
        return await cudaGpu(0, env);
      } catch (cuda) {
        const gpu = await webGpu(undefined, env).catch((webgpu: unknown) => {
          onReason(`${GradpoolError.from(cuda).message}; ${GradpoolError.from(webgpu).message}`);
        });
        return gpu ?? undefined;
      }
  }
}

async function cudaGpu(index: number, env: NodeJS.ProcessEnv): Promise<ChosenGpu> {
  const cuda = await requireCudaDevice(index, env);
  return { device: `cuda:${index}`, gpu: { provider: "cuda", index }, environment: cudaEnvironment(env), cuda };
}

async function webGpu(adapter: string | undefined, env: NodeJS.ProcessEnv): Promise<ChosenGpu> {
  const webgpu = await requireWebGpuAdapter(adapter, env);
  const { index, environment } = webgpu;
  return { device: `webgpu:${index}`, gpu: { provider: "webgpu" }, environment, webgpu };
}

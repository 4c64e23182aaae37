import { listWebGpuAdapters, noWebGpu, type WebGpuAdapter } from "./adapters.js";

/**
 * The adapter of a number or with this in its name; without a choice the first that is a real GPU. Errors:
 * `failed_precondition`, saying in one line why there is none.
 */
export async function requireWebGpuAdapter(choice: string | undefined, env: NodeJS.ProcessEnv): Promise<WebGpuAdapter> {
  const adapters = await listWebGpuAdapters(env);
  const there = adapters.map(({ index, name }) => `webgpu:${index} (${name})`).join(", ");
  if (choice === undefined) {
    const gpu = adapters.find(({ isSoftware }) => !isSoftware);
    if (gpu) return gpu;
    throw noWebGpu(`there is no GPU for WebGPU, only ${there}, which is the processor; name it, or use --device cpu`);
  }
  const isChosen = ({ index, name }: WebGpuAdapter) =>
    /^\d+$/.test(choice) ? index === Number(choice) : name.toLowerCase().includes(choice.toLowerCase());
  const chosen = adapters.find(isChosen);
  if (chosen) return chosen;
  throw noWebGpu(`there is no webgpu:${choice}, only ${there}; name one of those, or use --device cpu`);
}

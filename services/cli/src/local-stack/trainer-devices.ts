import { GradpoolError } from "@gradpool/errors";
import { listCudaDevices, requireCudaDevice, requireWebGpuAdapter, type DeviceRequest } from "@gradpool/runtime";

/**
 * GRADPOOL_DEVICE of each trainer of a stack: one process per CUDA device, or a single one on WebGPU. With "auto" all
 * trainers compute on CUDA, or all on the processor, since a run's bits hold for one class of devices (I2); `note` is
 * called with the reason why a machine with a driver does not use CUDA. Errors: `failed_precondition` when there are not
 * enough devices.
 */
export async function trainerDevices(
  device: DeviceRequest,
  trainers: number,
  env: NodeJS.ProcessEnv,
  note: (text: string) => void = () => {},
): Promise<string[]> {
  const onCpu = Array.from({ length: trainers }, () => "cpu");
  switch (device.kind) {
    case "cpu":
      return onCpu;
    case "cuda":
      if (device.index !== undefined && trainers === 1) return [`cuda:${device.index}`];
      await requireDevices(trainers, env);
      return cudaDevices(trainers);
    case "webgpu":
      return [device.adapter === undefined ? "webgpu" : `webgpu:${device.adapter}`];
    case "auto":
      return (await autoDevices(trainers, env, note)) ?? onCpu;
  }
}

/** Undefined: the processor. */
async function autoDevices(
  trainers: number,
  env: NodeJS.ProcessEnv,
  note: (text: string) => void,
): Promise<string[] | undefined> {
  const hasDriver = (await listCudaDevices(env).catch(() => [])).length > 0;
  let reason: unknown;
  if (hasDriver) {
    try {
      await requireDevices(trainers, env);
      await requireCudaDevice(0, env);
      return cudaDevices(trainers);
    } catch (error) {
      reason = error;
    }
  }
  const gpu = trainers > 1 ? undefined : await requireWebGpuAdapter(undefined, env).catch(() => undefined);
  // Without a driver there is nothing to say.
  if (reason !== undefined) {
    note(`training on ${gpu ? `${gpu.name} by WebGPU` : "the CPU"}: ${GradpoolError.from(reason).message}`);
  }
  return gpu && [`webgpu:${gpu.index}`];
}

const cudaDevices = (trainers: number) => Array.from({ length: trainers }, (_, i) => `cuda:${i}`);

async function requireDevices(trainers: number, env: NodeJS.ProcessEnv): Promise<void> {
  const { length } = await listCudaDevices(env);
  if (trainers <= length) return;
  const devices = `${length} CUDA device${length === 1 ? "" : "s"}`;
  throw new GradpoolError(
    "failed_precondition",
    `${trainers} trainers need a CUDA device each, and there ${length === 1 ? "is" : "are"} ${devices}; use --trainers ${length} or --device cpu`,
  );
}

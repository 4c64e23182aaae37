import { chooseGpu, requireCudaDevices, type DeviceRequest } from "@gradpool/runtime";

/**
 * GRADPOOL_DEVICE of each trainer of a stack: one process per CUDA device, or a single one on WebGPU. With "auto" all
 * trainers compute on CUDA, or all on the processor, since a run's bits hold for one class of devices (I2); `note` is
 * called with the reason why a GPU that is there is not used. Errors: `failed_precondition` when there are not enough
 * devices.
 */
export async function trainerDevices(
  device: DeviceRequest,
  trainers: number,
  env: NodeJS.ProcessEnv,
  note: (text: string) => void = () => {},
): Promise<string[]> {
  switch (device.kind) {
    case "cpu":
      return forEach(trainers, () => "cpu");
    case "cuda":
      if (device.index !== undefined && trainers === 1) return [`cuda:${device.index}`];
      await requireCudaDevices(trainers, env);
      return forEach(trainers, (i) => `cuda:${i}`);
    case "webgpu":
      return [device.adapter === undefined ? "webgpu" : `webgpu:${device.adapter}`];
    case "auto": {
      const chosen = await chooseGpu(device, env, {
        processes: trainers,
        onFallback({ reason, instead, isThere }) {
          if (isThere) note(`training on ${instead}: ${reason}`);
        },
      });
      return forEach(trainers, (i) => (chosen?.cuda ? `cuda:${i}` : (chosen?.device ?? "cpu")));
    }
  }
}

const forEach = (trainers: number, deviceOf: (i: number) => string) =>
  Array.from({ length: trainers }, (_, i) => deviceOf(i));

import { GradpoolError } from "@gradpool/errors";
import { listCudaDevices, requireCudaDevice, type DeviceRequest } from "@gradpool/runtime";

/**
 * GRADPOOL_DEVICE of each trainer of a stack: one process per CUDA device. With "auto" all trainers
 * compute on CUDA or all on the processor, since a run's bits hold for one class of devices (I2); `note` is
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
  const onCuda = Array.from({ length: trainers }, (_, i) => `cuda:${i}`);
  switch (device.kind) {
    case "cpu":
      return onCpu;
    case "cuda":
      if (device.index !== undefined && trainers === 1) return [`cuda:${device.index}`];
      await requireDevices(trainers, env);
      return onCuda;
    case "auto": {
      // Without a driver there is nothing to say.
      if ((await listCudaDevices(env).catch(() => [])).length === 0) return onCpu;
      try {
        await requireDevices(trainers, env);
        await requireCudaDevice(0, env);
        return onCuda;
      } catch (reason) {
        note(`training on the CPU: ${GradpoolError.from(reason).message}`);
        return onCpu;
      }
    }
  }
}

async function requireDevices(trainers: number, env: NodeJS.ProcessEnv): Promise<void> {
  const { length } = await listCudaDevices(env);
  if (trainers <= length) return;
  const devices = `${length} CUDA device${length === 1 ? "" : "s"}`;
  throw new GradpoolError(
    "failed_precondition",
    `${trainers} trainers need a CUDA device each, and there ${length === 1 ? "is" : "are"} ${devices}; use --trainers ${length} or --device cpu`,
  );
}

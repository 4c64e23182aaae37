/** What ONNX Runtime's errors mean to whoever runs a session. */
import { GradpoolError } from "@gradpool/errors";
import { bytes } from "@gradpool/format";

/** The driver has reset the GPU, or it is gone: this process cannot use it any more, but a new one may. */
export class LostDeviceError extends Error {
  constructor(cause: unknown) {
    super(`the GPU was lost: ${messageOf(cause)}`, { cause });
    this.name = "LostDeviceError";
  }
}

/**
 * `resource_exhausted` where memory is short, `failed_precondition` where the processor would have to help, LostDeviceError
 * where the GPU is gone, else the error itself.
 */
export function sessionError(cause: unknown): unknown {
  const message = messageOf(cause);
  const [, size, limit] = /Buffer size \((\d+)\) exceeds the max buffer size limit \((\d+)\)/.exec(message) ?? [];
  if (limit !== undefined) {
    const what = `the GPU takes no tensor above ${bytes(Number(limit))}, and one has ${bytes(Number(size))}`;
    const advice = "lower batch_size or max_length, or train on another device";
    return new GradpoolError("resource_exhausted", `${what}; ${advice}`, { cause });
  }
  if (/OUT_OF_DEVICE_MEMORY|Invalid Buffer/.test(message)) {
    return new GradpoolError("resource_exhausted", "out of GPU memory; lower batch_size or max_length", { cause });
  }
  if (/assigned to the default CPU EP/.test(message)) {
    const what = "the GPU's provider lacks a part of this computation, which is not left to the processor";
    return new GradpoolError("failed_precondition", `${what}; train with --device cpu`, { cause });
  }
  // Results that can no longer be read are how a loss shows in the middle of a run.
  if (/\bis lost\b|DeviceLost|DEVICE_LOST|Failed to download data from buffer/.test(message)) {
    return new LostDeviceError(cause);
  }
  if (!/alloc|memory/i.test(message)) return cause;
  return new GradpoolError("resource_exhausted", "out of memory; lower batch_size or max_length", { cause });
}

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

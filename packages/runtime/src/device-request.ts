/**
 * What was asked for: the processor, a CUDA device, a WebGPU adapter, or CUDA where it works, else WebGPU on a real
 * GPU, else the processor. An adapter is given by its number, or by a part of its name.
 */
export type DeviceRequest =
  | { kind: "auto" }
  | { kind: "cpu" }
  | { kind: "cuda"; index: number | undefined }
  | { kind: "webgpu"; adapter: string | undefined };

/** What `parseDevice` takes, for messages. */
export const DEVICE_WORDS =
  "auto, cpu, cuda, webgpu, one CUDA device such as cuda:0, or one adapter such as webgpu:intel";

/** auto, cpu, cuda, cuda:i, webgpu, webgpu:i or webgpu:NAME; undefined for anything else. */
export function parseDevice(text: string): DeviceRequest | undefined {
  if (text === "auto" || text === "cpu") return { kind: text };
  const [, kind, choice] = /^(cuda|webgpu)(?::(.{1,100}))?$/.exec(text) ?? [];
  if (kind === "webgpu") return { kind, adapter: choice };
  if (kind !== "cuda" || (choice !== undefined && !/^\d{1,3}$/.test(choice))) return undefined;
  return { kind, index: choice === undefined ? undefined : Number(choice) };
}

import type { InferenceSession } from "onnxruntime-node";

export interface SessionOptions {
  /** Threads that compute. */
  threads: number;
  /** The GPU that computes; undefined: the processor does. */
  gpu?: Gpu | undefined;
  /**
   * Matrices are read where the file is mapped, instead of from a copy that is packed for the processor's kernels: the
   * session then takes no memory for them, and its products about an eighth more time.
   */
  unpackedWeights?: boolean | undefined;
  /** Path that ONNX Runtime's profile begins with, written when the session is released; undefined: none. */
  profilePrefix?: string | undefined;
}

/**
 * A GPU as a provider of ONNX Runtime takes it. CUDA numbers its devices from 0. WebGPU's choice among adapters is up
 * to this process's environment: the Node binding passes no option for it on. `largestBuffer`: in bytes; 0 or none: not
 * known. `float16`: it can keep weights as halves.
 */
export type Gpu =
  { provider: "cuda"; index: number } | { provider: "webgpu"; largestBuffer?: number; float16?: boolean };

/**
 * ONNX Runtime's settings. On a GPU a graph that would leave a node to the CPU is
 * refused when its session is made, instead of copying tensors back and forth in every step.
 */
export function onnxSessionOptions(
  { threads, gpu, unpackedWeights, profilePrefix }: SessionOptions,
  configEntries: Readonly<Record<string, string>> = {},
): InferenceSession.SessionOptions {
  return {
    executionProviders: [gpu?.provider === "cuda" ? { name: "cuda", deviceId: gpu.index } : (gpu?.provider ?? "cpu")],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    // A memory pattern per shape costs a third more memory and saves nothing measurable.
    enableMemPattern: false,
    ...(profilePrefix !== undefined && { enableProfiling: true, profileFilePrefix: profilePrefix }),
    extra: {
      session: {
        ...configEntries,
        ...(gpu && { disable_cpu_ep_fallback: "1" }),
        ...(unpackedWeights && { disable_prepacking: "1" }),
      },
    },
  };
}

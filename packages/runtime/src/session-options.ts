import type { InferenceSession } from "onnxruntime-node";

export interface SessionOptions {
  /** Threads that compute. */
  threads: number;
  /** CUDA device that computes, from 0; undefined: the processor does. */
  cudaDevice?: number | undefined;
  /**
   * Matrices are read where the file is mapped, instead of from a copy that is packed for the processor's kernels: the
   * session then takes no memory for them, and its products about an eighth more time.
   */
  unpackedWeights?: boolean | undefined;
  /** Path that ONNX Runtime's profile begins with, written when the session is released; undefined: none. */
  profilePrefix?: string | undefined;
}

/**
 * ONNX Runtime's settings. On CUDA a graph that would leave a node to the CPU is
 * refused when its session is made, instead of copying tensors back and forth in every step.
 */
export function onnxSessionOptions(
  { threads, cudaDevice, unpackedWeights, profilePrefix }: SessionOptions,
  configEntries: Readonly<Record<string, string>> = {},
): InferenceSession.SessionOptions {
  const isCuda = cudaDevice !== undefined;
  return {
    executionProviders: [isCuda ? { name: "cuda", deviceId: cudaDevice } : "cpu"],
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
        ...(isCuda && { disable_cpu_ep_fallback: "1" }),
        ...(unpackedWeights && { disable_prepacking: "1" }),
      },
    },
  };
}

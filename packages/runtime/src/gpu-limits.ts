import { GradpoolError } from "@gradpool/errors";
import { bytes } from "@gradpool/format";
import type { Graph } from "@gradpool/graph";
import type { Gpu } from "./session-options.js";

const BYTES = { float32: 4, float16: 2, bfloat16: 2 } as Readonly<Record<string, number>>;

/**
 * Errors: `failed_precondition` where one of the graph's weights does not fit into the GPU's largest buffer, for which ONNX
 * Runtime only fails later, and without the reason. What a shader sees of a buffer may be smaller: ONNX Runtime then binds
 * the buffer in several parts.
 */
export function checkWeightSizes({ weights, nodes }: Graph, gpu: Gpu | undefined): void {
  if (gpu?.provider !== "webgpu" || !gpu.largestBuffer) return;
  const widened = new Set(nodes.filter(({ op }) => op.name === "Cast").map(({ inputs: [weight] }) => weight?.name));
  for (const { name, dtype, shape } of weights.keys()) {
    const elementBytes = widened.has(name) ? 4 : (BYTES[dtype] ?? 4);
    const size = shape.reduce<number>((product, dim) => product * Number(dim), elementBytes);
    if (size <= gpu.largestBuffer) continue;
    const what = `${name} takes ${bytes(size)}, and the GPU has no buffers above ${bytes(gpu.largestBuffer)}`;
    throw new GradpoolError("failed_precondition", `${what}; use another GPU, or --device cpu`);
  }
}

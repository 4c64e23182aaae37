import { createRequire } from "node:module";
import type * as Ort from "onnxruntime-node";
import { evaluateDim, toModelProto, usedInputs, verify, type Graph } from "@gradpool/graph";

const ort = createRequire(import.meta.url)("onnxruntime-node") as typeof Ort;

export type Feeds = Record<string, Float32Array | BigInt64Array>;

/** Compiles a graph without weights and returns a function from feeds to outputs, all float32. */
export async function compile(graph: Graph, symbols: Record<string, number> = {}) {
  verify(graph);
  const session = await ort.InferenceSession.create(toModelProto(graph), {
    executionProviders: ["cpu"],
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const inputs = usedInputs(graph);
  return async (feeds: Feeds): Promise<Record<string, Float32Array>> => {
    const tensors = inputs.map((value) => {
      const shape = graph.shapeInputs.get(value);
      const data = shape ? BigInt64Array.from(shape, (dim) => BigInt(evaluateDim(dim, symbols))) : feeds[value.name];
      if (!data) throw new Error(`no feed for ${value.name}`);
      const dims = value.shape.map((dim) => evaluateDim(dim, symbols));
      return [value.name, new ort.Tensor(data instanceof Float32Array ? "float32" : "int64", data, dims)] as const;
    });
    const outputs = await session.run(Object.fromEntries(tensors));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data }]) => [name, Float32Array.from(data as Float32Array)]),
    );
  };
}

/** Reproducible numbers, uniform in [low, high) (a linear congruential generator is enough here). */
export function uniform(seed: number, count: number, low = -1, high = 1): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return low + (state / 2 ** 32) * (high - low);
  });
}

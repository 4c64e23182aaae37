import { createRequire } from "node:module";
import type * as Ort from "onnxruntime-node";
import {
  evaluateDim,
  toModelProto,
  usedInputs,
  verify,
  writeFor,
  type Graph,
  type ProviderName,
} from "@gradpool/graph";

const ort = createRequire(import.meta.url)("onnxruntime-node") as typeof Ort;

export type Feeds = Record<string, Float32Array | BigInt64Array | Uint8Array>;

/** Compiles a graph without weights and returns a function from feeds to outputs, as float32. */
export async function compile(graph: Graph, symbols: Record<string, number> = {}, provider: ProviderName = "cpu") {
  verify(graph);
  const written = writeFor(provider, graph);
  const before = written.before && (await runner(written.before, symbols, "cpu"));
  const main = await runner(written.graph, symbols, provider);
  return async (feeds: Feeds): Promise<Record<string, Float32Array>> => {
    const outputs = await main(feeds, await before?.(feeds));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data }]) => [name, Float32Array.from(data as Float32Array)]),
    );
  };
}

async function runner(graph: Graph, symbols: Record<string, number>, provider: ProviderName) {
  const session = await ort.InferenceSession.create(toModelProto(graph), {
    executionProviders: [provider],
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
    ...(provider !== "cpu" && { extra: { session: { disable_cpu_ep_fallback: "1" } } }),
  });
  const inputs = usedInputs(graph);
  return (feeds: Feeds, made: Ort.InferenceSession.OnnxValueMapType = {}) => {
    const tensors = inputs.map((value) => {
      const shape = graph.shapeInputs.get(value);
      const data = shape ? BigInt64Array.from(shape, (dim) => BigInt(evaluateDim(dim, symbols))) : feeds[value.name];
      const dims = value.shape.map((dim) => evaluateDim(dim, symbols));
      const tensor = made[value.name] ?? (data && new ort.Tensor(value.dtype as "float32", data as Float32Array, dims));
      if (!tensor) throw new Error(`no feed for ${value.name}`);
      return [value.name, tensor] as const;
    });
    return session.run(Object.fromEntries(tensors));
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

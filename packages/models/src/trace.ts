/** A model's description, from one forward pass over its weights' header: the two cannot disagree. */
import { Graph, type Value } from "@gradpool/graph";
import type { DropoutSite, LinearModule } from "./description.js";
import type { ForwardContext, ForwardOutputs, Model } from "./family.js";
import { requireTensor, type WeightsHeader } from "./tensors.js";

export interface Traced {
  modelType: string;
  ownTargets: readonly string[];
  maxPositions: number;
  header: WeightsHeader;
  forward(context: ForwardContext): ForwardOutputs;
}

/** Errors: those of `requireTensor`, at the first weight that does not fit. */
export function traceModel({ modelType, ownTargets, maxPositions, header, forward }: Traced): Model {
  const graph = new Graph();
  const modules: LinearModule[] = [];
  const dropouts: DropoutSite[] = [];
  const weights = new Map<string, Value>();
  const tables = new Map<string, readonly [number, number]>();
  let parameters = 0;
  let fanInFanOut = false;

  const weight = (name: string, shape: readonly number[]): Value => {
    const known = weights.get(name);
    if (known) return known;
    const { file, begin, end } = requireTensor(header, name, shape);
    const value = graph.weight(name, "float32", shape, { file, offset: begin, length: end - begin });
    weights.set(name, value);
    parameters += shape.reduce((product, size) => product * size, 1);
    return value;
  };
  const causalMask = graph.input("causal_mask", "float32", ["S", "S"]);
  const { head } = forward({
    ids: graph.input("ids", "int64", ["B", "S"]),
    positions: graph.input("positions", "int64", ["S"]),
    following: 1,
    causalMask,
    windowMask: () => causalMask,
    weight,
    tokenTable: (name, shape) => {
      tables.set(name, shape);
      return weight(name, shape);
    },
    adapter: (module, base) => {
      modules.push(module);
      fanInFanOut ||= !base.transposed;
      return undefined;
    },
    dropoutMask: (site) => {
      dropouts.push(site);
      return undefined;
    },
    block: (x, build) => build(x),
  });

  const [[embedding, [vocabSize]] = ["", [0, 0]]] = tables;
  const parametersPerToken = [...tables.values()].reduce((sum, [, width]) => sum + width, 0);
  return {
    description: { modelType, ownTargets, modules, vocabSize, maxPositions, parameters, parametersPerToken, fanInFanOut },
    tokenTables: { embedding, head: head.name },
    weights: new Set(weights.keys()),
    dropouts,
    forward,
  };
}

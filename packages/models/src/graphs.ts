/**
 * The graphs that run on a device: forward and backward as one (`buildTrainingGraph`), the loss alone
 * (`buildLossGraph`), and logits (`buildLogitsGraph`). Rows B, positions S and rank r are symbols, the
 * LoRA scaling an input: one session of each serves every run on its base and targets (I9).
 */
import { loraNames } from "@gradpool/adapter";
import {
  backward,
  cast,
  concat,
  gather,
  Graph,
  greater,
  linearCrossEntropy,
  matmul,
  reshape,
  verify,
  where,
  type LoraBranch,
  type Value,
} from "@gradpool/graph";
import type { LinearModule, Model } from "./description.js";
import { WEIGHT_DTYPES, type WeightDtype, type WeightsHeader } from "./tensors.js";

export interface GraphOptions {
  model: Model;
  header: WeightsHeader;
  targets: readonly LinearModule[];
  /** Row [C] that an added pad token gets, by table; without one the tables stay as they are. */
  padRows?: ReadonlyMap<string, Float32Array>;
}

/** Names of the graphs' inputs and outputs. */
export const maskName = (module: string) => `dropout_mask.${module}`;
export const gradientName = (tensor: string) => `gradient.${tensor}`;

/**
 * Inputs: ids [B, S], positions [S], targets and weights [B·S], lora_scaling, the LoRA tensors, with
 * dropout a bool mask [B·S, in] per module (1 keeps; the factor 1 / (1 − p) belongs into lora_scaling). Outputs: loss_sum, and one gradient per LoRA tensor.
 */
export function buildTrainingGraph(options: GraphOptions & { dropout: boolean }): Graph {
  const { graph, hidden, head, trainables } = buildForward(options, { training: true, dropout: options.dropout });
  const loss = linearCrossEntropy(hidden, head(), ...lossInputs(graph));
  graph.output("loss_sum", loss);
  for (const [i, gradient] of backward(loss, trainables).entries()) {
    graph.output(gradientName((trainables[i] as Value).name), gradient);
  }
  verify(graph);
  return graph;
}

/** As `buildTrainingGraph`, without dropout and gradients. */
export function buildLossGraph(options: GraphOptions): Graph {
  const { graph, hidden, head } = buildForward(options, { training: false, dropout: false });
  graph.output("loss_sum", linearCrossEntropy(hidden, head(), ...lossInputs(graph)));
  verify(graph);
  return graph;
}

/** Inputs: ids [B, S], positions [S], rows [K] of the B·S positions. Output: logits [K, V]. */
export function buildLogitsGraph(options: GraphOptions): Graph {
  const { graph, hidden, head } = buildForward(options, { training: false, dropout: false });
  const rows = graph.input("rows", "int64", ["K"]);
  graph.output("logits", matmul(gather(hidden, rows), head(), { transB: true }));
  verify(graph);
  return graph;
}

const lossInputs = (graph: Graph): [Value, Value] => [
  graph.input("targets", "int64", ["B*S"]),
  graph.input("weights", "float32", ["B*S"]),
];

interface Forward {
  graph: Graph;
  /** [N, C]. */
  hidden: Value;
  /** [V, C]. */
  head: () => Value;
  trainables: Value[];
}

interface Mode {
  /** Gradients of the adapter will be asked for. */
  training: boolean;
  dropout: boolean;
}

function buildForward({ model, header, targets, padRows }: GraphOptions, mode: Mode): Forward {
  const graph = new Graph();
  const ids = graph.input("ids", "int64", ["B", "S"]);
  const positions = graph.input("positions", "int64", ["S"]);
  const weights = weightReader(graph, header);
  const tokenTable = memoize((name) => {
    const row = padRows?.get(name);
    return row ? concat(weights(name), graph.literal(row, [1, row.length]), 0) : weights(name);
  });
  const trainables: Value[] = [];
  const branches = targets.length > 0 ? loraBranches(graph, targets, mode, trainables) : new Map<string, LoraBranch>();
  const hidden = model.forward({
    graph,
    ids,
    positions,
    weight: weights,
    tokenTable,
    lora: (module) => branches.get(module),
    causalMask: causalMask(positions),
  });
  return { graph, hidden, trainables, head: () => tokenTable(model.tokenTables.head) };
}

function loraBranches(graph: Graph, targets: readonly LinearModule[], mode: Mode, trainables: Value[]) {
  const scaling = graph.input("lora_scaling", "float32", []);
  const trainable = { trainable: mode.training };
  return new Map(
    targets.map(({ name, inFeatures, outFeatures }): [string, LoraBranch] => {
      const names = loraNames(name);
      const a = graph.input(names.a, "float32", ["r", inFeatures], trainable);
      const b = graph.input(names.b, "float32", [outFeatures, "r"], trainable);
      trainables.push(a, b);
      const branch = { a, b, scaling };
      if (!mode.dropout) return [name, branch];
      return [name, { ...branch, mask: graph.input(maskName(name), "bool", ["B*S", inFeatures]) }];
    }),
  );
}

function weightReader(graph: Graph, header: WeightsHeader): (name: string) => Value {
  return memoize((name) => {
    const entry = header.tensors.get(name);
    if (!entry) throw new Error(`weight ${name} was not checked when the model was opened`);
    const dtype = WEIGHT_DTYPES[entry.dtype as WeightDtype];
    const slice = { file: entry.file, offset: entry.begin, length: entry.end - entry.begin };
    return cast(graph.weight(name, dtype, entry.shape, slice), "float32");
  });
}

/** 0 where a position may look, −3.4e38 where the other lies behind it. */
function causalMask(positions: Value): Value {
  const { graph } = positions;
  const isLater = greater(reshape(positions, [1, "S"]), reshape(positions, ["S", 1]));
  return where(isLater, graph.scalar(-3.4028234663852886e38), graph.scalar(0));
}

function memoize(compute: (name: string) => Value): (name: string) => Value {
  const known = new Map<string, Value>();
  return (name) => {
    const value = known.get(name) ?? compute(name);
    known.set(name, value);
    return value;
  };
}

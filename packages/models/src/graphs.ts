/**
 * The graphs that run on a device: forward and backward as one (`buildTrainingGraph`), and the loss alone
 * (`buildLossGraph`); the third, for logits, is in logits-graph.ts. Rows B, positions S and ranks are symbols,
 * the LoRA scalings inputs: one session of each serves every run on its base and targets (I9).
 */
import { loraNames, type AdaptedModule } from "@gradpool/adapter";
import {
  add,
  backward,
  cast,
  checkpoint,
  concat,
  Graph,
  greater,
  linearCrossEntropy,
  mul,
  reshape,
  sub,
  verify,
  where,
  type BasePrecision,
  type DoraBranch,
  type DropoutMask,
  type Int8Matrix,
  type LoraBranch,
  type Shape,
  type Value,
} from "@gradpool/graph";
import type { DropoutSite } from "./description.js";
import type { Documents, Model } from "./family.js";
import { WEIGHT_DTYPES, type Int8Entry, type WeightDtype, type WeightEntry, type WeightsHeader } from "./tensors.js";

export interface GraphOptions {
  model: Model;
  header: WeightsHeader;
  targets: readonly AdaptedModule[];
  /** Of the targets with DoRA: the squared norm of each output's weights [out], by module. */
  squaredNorms?: ReadonlyMap<string, Float32Array>;
  /** Matrices that are stored in float16 stay so, instead of being widened when the session is made. */
  keepHalves?: boolean;
  /** Those are widened when the session is made after all. */
  widenHalves?: boolean;
  /** The device multiplies float16 matrices: with those that stay so, it does. */
  halfProducts?: boolean;
  /** The device's products of uint8 with int8 are not exact. */
  unsignedWeights?: boolean;
  /** Rows hold several documents, one after another, which do not see each other. */
  documents?: boolean;
  /** Row [C] that an added pad token gets, by table; without one the tables stay as they are. */
  padRows?: ReadonlyMap<string, Float32Array>;
}

/** What a training graph does besides computing gradients. */
export interface TrainingOptions {
  /** LoRA's dropout. */
  dropout: boolean;
  /** The model's own dropouts. */
  modelDropout?: boolean;
  /** Blocks are computed again in the backward pass instead of kept: less memory, more time, the same bits. */
  gradientCheckpointing?: boolean;
  /** Of the products with the linear layers' weights; float32 unless given. */
  basePrecision?: BasePrecision;
}

/** Names of the graphs' inputs and outputs; a mask is named after its module or its dropout's site. */
export const maskName = (module: string) => `dropout_mask.${module}`;
/** Dropout's factor for the kept elements: DoRA needs it apart from the scaling. */
export const DROPOUT_FACTOR = "dropout_factor";
/** Of graphs for rows that hold several documents: each token's position in its own, and the longest one's tokens. */
export const DOCUMENT_POSITIONS = "document_positions";
export const LONGEST_DOCUMENT = "longest_document";
/** What the loss is multiplied by before its gradient is taken, where halves are kept. */
export const LOSS_SCALE = "loss_scale";
export const scalingName = (module: string) => `lora_scaling.${module}`;
/** The symbol of the rank of the i-th target. */
export const rankSymbol = (target: number) => `r${target}`;
export const gradientName = (tensor: string) => `gradient.${tensor}`;

/**
 * Inputs: ids [B, S], positions [S], targets and weights [B·S]; per module a scaling and its LoRA tensors, of a rank
 * of their own; with dropout a bool mask [B·S, in] per module (1 keeps; the factor 1 / (1 − p) belongs in the scaling,
 * with DoRA in an input of its own), with the model's own dropouts one per site; a loss scale where halves are kept;
 * with `documents` their positions [B, S], and for some models the longest one's tokens [1, 1].
 * Outputs: loss_sum, and one gradient per LoRA tensor, of the scaled loss.
 */
export function buildTrainingGraph(options: GraphOptions & TrainingOptions): Graph {
  const { graph, hidden, head, trainables } = buildForward(options, options);
  const loss = linearCrossEntropy(hidden, head, ...lossInputs(graph));
  graph.output("loss_sum", loss);
  const scaled = options.keepHalves ? mul(loss, graph.input(LOSS_SCALE, "float32", [])) : loss;
  for (const [i, gradient] of backward(scaled, trainables).entries()) {
    graph.output(gradientName((trainables[i] as Value).name), gradient);
  }
  verify(graph);
  return graph;
}

/** As `buildTrainingGraph`, without dropout and gradients. */
export function buildLossGraph(options: GraphOptions): Graph {
  const { graph, hidden, head } = buildForward(options);
  graph.output("loss_sum", linearCrossEntropy(hidden, head, ...lossInputs(graph)));
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
  head: Value;
  trainables: Value[];
}

/** What each position may look at: see ForwardContext. */
export interface Masks {
  causal: Value;
  within(window: number): Value;
}

/**
 * `training`: gradients of the adapter will be asked for. `masksOf` makes the attention's masks from the
 * positions [S]; `following`: see ForwardContext.
 */
export function buildForward(
  { model, header, targets, squaredNorms, documents: hasDocuments, padRows, ...device }: GraphOptions,
  training?: TrainingOptions,
  { masksOf = plainMasks, following = 1 }: { masksOf?: (positions: Value) => Masks; following?: 0 | 1 } = {},
): Forward {
  const { keepHalves, widenHalves, halfProducts, unsignedWeights } = device;
  const graph = new Graph(halfProducts, unsignedWeights);
  const ids = graph.input("ids", "int64", ["B", "S"]);
  const positions = graph.input("positions", "int64", ["S"]);
  const documents = hasDocuments ? documentInputs(graph) : undefined;
  const weights = weightReader(graph, header, (keepHalves && !widenHalves) ?? false);
  const tokenTable = memoize((name) => {
    const row = padRows?.get(name);
    const table = weights(name);
    return row ? concat(table, cast(graph.literal(row, [1, row.length]), table.dtype), 0) : table;
  });
  const trainables: Value[] = [];
  const branches = new Map<string, LoraBranch | DoraBranch>();
  for (const [i, target] of targets.entries()) {
    const tensors = loraInputs(graph, target, rankSymbol(i), training !== undefined);
    trainables.push(tensors.a, tensors.b, ...(tensors.magnitude ? [tensors.magnitude] : []));
    branches.set(target.name, branchOf(target, tensors, squaredNorms, training?.dropout ?? false));
  }
  const masks = new Map(training?.modelDropout ? model.dropouts.map((site) => [site.name, siteMask(graph, site)]) : []);
  const { causal, within } = documents ? documentMasks(positions, documents.positions) : masksOf(positions);
  const outputs = model.forward({
    ids,
    positions,
    following,
    documents,
    weight: weights,
    tokenTable,
    adapter: ({ name }) => branches.get(name),
    dropoutMask: ({ name }) => masks.get(name),
    precision: training?.basePrecision,
    block: training?.gradientCheckpointing ? checkpoint : (x, build) => build(x),
    causalMask: causal,
    windowMask: within,
  });
  return { graph, trainables, ...outputs };
}

function documentInputs(graph: Graph): Documents {
  return {
    positions: graph.input(DOCUMENT_POSITIONS, "int64", ["B", "S"]),
    longest: () => graph.input(LONGEST_DOCUMENT, "float32", [1, 1]),
  };
}

interface LoraInputs {
  a: Value;
  b: Value;
  magnitude: Value | undefined;
  scaling: Value;
}

function loraInputs(graph: Graph, module: AdaptedModule, r: string, trainable: boolean): LoraInputs {
  const { name, inFeatures, outFeatures, useDora } = module;
  const names = loraNames(name);
  const scaling = graph.input(scalingName(name), "float32", []);
  const tensor = (tensorName: string, shape: Shape) => graph.input(tensorName, "float32", shape, { trainable });
  const [a, b] = [tensor(names.a, [r, inFeatures]), tensor(names.b, [outFeatures, r])];
  return { a, b, scaling, magnitude: useDora ? tensor(names.magnitude, [outFeatures]) : undefined };
}

function branchOf(
  { name, inFeatures, outFeatures }: AdaptedModule,
  { magnitude, ...lora }: LoraInputs,
  squaredNorms: GraphOptions["squaredNorms"],
  dropout: boolean,
): LoraBranch | DoraBranch {
  const { graph } = lora.a;
  const mask = dropout ? graph.input(maskName(name), "bool", ["B*S", inFeatures]) : undefined;
  if (!magnitude) return { ...lora, ...(mask && { mask }) };
  const norms = squaredNorms?.get(name);
  if (!norms) throw new Error(`DoRA needs the norms of ${name}'s weight`);
  const dora = { ...lora, magnitude, squaredNorms: graph.literal(norms, [outFeatures]) };
  return { ...dora, ...(mask && { dropout: { keep: mask, factor: dropoutFactor(graph) } }) };
}

/** One input for all modules. */
function dropoutFactor(graph: Graph): Value {
  const known = graph.inputs.find(({ name }) => name === DROPOUT_FACTOR);
  return known ?? graph.input(DROPOUT_FACTOR, "float32", []);
}

function siteMask(graph: Graph, { name, probability, shape }: DropoutSite): DropoutMask {
  return { keep: graph.input(maskName(name), "bool", shape), factor: 1 / (1 - probability) };
}

function weightReader(graph: Graph, header: WeightsHeader, keepHalves: boolean): (name: string) => Value {
  return memoize((name) => {
    const entry = header.tensors.get(name);
    if (!entry) throw new Error(`weight ${name} was not checked when the model was opened`);
    const dtype = WEIGHT_DTYPES[entry.dtype as WeightDtype];
    const stored = graph.weight(name, dtype, entry.shape, sliceOf(entry));
    const weight = keepHalves && dtype === "float16" && entry.shape.length > 1 ? stored : cast(stored, "float32");
    const { plain, transposed } = header.int8?.get(name) ?? {};
    if (plain) graph.int8.plain.set(weight, int8Matrix(graph, `${name}.int8`, plain));
    if (transposed) graph.int8.transposed.set(weight, int8Matrix(graph, `${name}.int8_transposed`, transposed));
    return weight;
  });
}

const sliceOf = ({ file, begin, end }: WeightEntry) => ({ file, offset: begin, length: end - begin });

function int8Matrix(graph: Graph, name: string, { numbers, scales }: Int8Entry): Int8Matrix {
  const dtype = numbers.dtype === "U8" ? "uint8" : "int8";
  return {
    numbers: graph.weight(name, dtype, numbers.shape, sliceOf(numbers)),
    scales: graph.weight(`${name}_scales`, "float32", scales.shape, sliceOf(scales)),
  };
}

/** [S, T]: 0 where one of the positions [S] may look at one of `seen` [T], −3.4e38 where that comes after it. */
export function causalMask(positions: Value, seen = positions): Value {
  const { graph } = positions;
  const isLater = greater(reshape(seen, [1, "rest"]), reshape(positions, ["rest", 1]));
  return where(isLater, graph.scalar(LOWEST), graph.scalar(0));
}

/** `causal` where the position is one of the last `window`, else −3.4e38 (transformers' sliding_window_overlay). */
export function windowMask(causal: Value, window: number, positions: Value, seen = positions): Value {
  const { graph } = positions;
  const firstSeen = add(cast(positions, "float32"), graph.scalar(1 - window));
  const isBefore = greater(reshape(firstSeen, ["rest", 1]), reshape(cast(seen, "float32"), [1, "rest"]));
  return where(isBefore, graph.scalar(LOWEST), causal);
}

function plainMasks(positions: Value): Masks {
  const causal = causalMask(positions);
  return { causal, within: (window) => windowMask(causal, window, positions) };
}

/** Of [B, 1, 1, S, S]: a token at `inDocument` [B, S] sees nothing before its own document's first. */
function documentMasks(positions: Value, inDocument: Value): Masks {
  const starts = reshape(sub(positions, inDocument), ["B", 1, 1, "S", 1]);
  const isBefore = greater(starts, reshape(positions, [1, "rest"]));
  const causal = where(isBefore, positions.graph.scalar(LOWEST), causalMask(positions));
  return { causal, within: (window) => windowMask(causal, window, positions) };
}

/** Of float32: what its exponential makes 0. */
const LOWEST = -3.4028234663852886e38;

function memoize(compute: (name: string) => Value): (name: string) => Value {
  const known = new Map<string, Value>();
  return (name) => {
    const value = known.get(name) ?? compute(name);
    known.set(name, value);
    return value;
  };
}

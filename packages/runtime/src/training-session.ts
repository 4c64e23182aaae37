import { loraNames, loraTensorNames, type AdaptedModule, type AdapterTensors } from "@gradpool/adapter";
import { int8Weights, meanRow, squaredNorms, type ModelSource } from "@gradpool/model-source";
import {
  buildLossGraph,
  buildTrainingGraph,
  DROPOUT_FACTOR,
  LOSS_SCALE,
  gradientName,
  maskName,
  rankSymbol,
  scalingName,
  type GraphOptions,
  type TrainingOptions,
} from "@gradpool/models";
import { documentFeeds, lossFeeds, type Batch } from "./batch.js";
import { dropoutMasks, siteMasks, type DropoutKey } from "./dropout-masks.js";
import { multipliesInt8Exactly } from "./int8-kernels.js";
import { Session, type TensorData } from "./session.js";
import type { SessionOptions } from "./session-options.js";

/** A base and what is adapted: runs with equal bases share a session (I9). */
export interface Base {
  source: ModelSource;
  targets: readonly AdaptedModule[];
  /** The embedding has grown by one row, the mean of the others. */
  padRow: boolean;
  /**
   * Matrices of the source in float16 stay so in memory. A processor and WebGPU widen each where it is used; CUDA
   * multiplies halves, which is why the loss is scaled then.
   */
  keepHalves?: boolean;
  /** Rows hold several documents, which do not see each other (`Batch.documentLengths`). */
  documents?: boolean;
}

export interface Adapter {
  tensors: AdapterTensors;
  /** alpha / r, or alpha / sqrt(r). */
  scaling: number;
  /** Scalings of modules that have another, by name. */
  ownScalings?: ReadonlyMap<string, number>;
}

export interface LossResult {
  /** Sum of the targets' negative log likelihoods, in nats. */
  lossSum: number;
  targetTokens: number;
}

export interface TrainingResult extends LossResult {
  /** d lossSum / d tensor, times the loss scale, under the adapter's names. */
  gradients: AdapterTensors;
}

/** Loss and gradients of micro-batches, of any rows, length and rank. */
export class TrainingSession {
  private constructor(
    private readonly session: Session,
    private readonly base: Base,
    private readonly options: TrainingOptions,
  ) {}

  /**
   * With LoRA's dropout or the model's own, every `run` must give a key for the masks. With a `cacheDir` weights of eight bits are
   * kept there; without one they are quantized each time. Errors: those of `int8Weights` and `Session.create`.
   */
  static async create(
    base: Base,
    { cacheDir, ...options }: SessionOptions & TrainingOptions & { cacheDir?: string },
  ): Promise<TrainingSession> {
    const unsignedWeights = !(await multipliesInt8Exactly());
    const int8 = { precision: options.basePrecision ?? "float32", unsigned: unsignedWeights };
    const source = cacheDir === undefined ? base.source : await int8Weights(base.source, int8, cacheDir);
    const inputs = await graphOptions({ ...base, source }, options);
    const graph = buildTrainingGraph({ ...inputs, ...options, unsignedWeights });
    return new TrainingSession(await Session.create(graph, source, options), base, options);
  }

  /** `lossScale`: what the gradients are multiplied by, where the base keeps halves. */
  async run(batch: Batch, adapter: Adapter, key?: DropoutKey, lossScale = 1): Promise<TrainingResult> {
    const { feeds, symbols, targetTokens } = feedsOf(batch, this.base);
    const { dropout, modelDropout } = this.options;
    if (modelDropout) feedMasks(feeds, siteMasks(this.base.source.model.dropouts, symbols, needed(key)));
    if (dropout) feedMasks(feeds, dropoutMasks(this.base.targets, symbols.B * symbols.S, needed(key)));
    // The masks are 0 and 1: dropout's factor for the kept elements is in the scaling, or an input (DoRA).
    const kept = dropout ? 1 - needed(key).probability : 1;
    const ranks = feedAdapter(feeds, this.base.targets, adapter, kept);
    feeds.set(LOSS_SCALE, Float32Array.of(lossScale));
    const outputs = await this.session.run({ ...symbols, ...ranks }, feeds);
    const gradients: AdapterTensors = new Map();
    for (const name of loraTensorNames(this.base.targets)) {
      const output = outputs.get(gradientName(name));
      if (!output) throw new Error(`the graph gave no gradient of ${name}`);
      gradients.set(name, { shape: [...output.dims], data: output.data as Float32Array });
    }
    return { lossSum: scalarOf(outputs.get("loss_sum")), targetTokens, gradients };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}

/**
 * Loss without gradients or dropout: for held-out data. It is beside a training session, whose mapping of the weights
 * it shares: packed ones would be another copy (I9).
 */
export class LossSession {
  private constructor(
    private readonly session: Session,
    private readonly base: Base,
  ) {}

  static async create(base: Base, options: SessionOptions): Promise<LossSession> {
    const graph = buildLossGraph(await graphOptions(base, options));
    const session = await Session.create(graph, base.source, { ...options, unpackedWeights: true });
    return new LossSession(session, base);
  }

  async run(batch: Batch, adapter?: Adapter): Promise<LossResult> {
    const { feeds, symbols, targetTokens } = feedsOf(batch, this.base);
    const ranks = feedAdapter(feeds, this.base.targets, adapter);
    const outputs = await this.session.run({ ...symbols, ...ranks }, feeds);
    return { lossSum: scalarOf(outputs.get("loss_sum")), targetTokens };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}

/** What a base's graphs are built from. */
export async function graphOptions(
  { source, targets, padRow, keepHalves = false, documents = false }: Base,
  { gpu }: SessionOptions,
): Promise<GraphOptions> {
  const halfProducts = keepHalves && gpu?.provider === "cuda";
  // WebGPU sums products of halves in halves, so it only keeps them where it can, and multiplies in float32.
  const widenHalves = gpu?.provider === "webgpu" && !gpu.float16;
  const norms = new Map<string, Float32Array>();
  for (const target of targets) {
    if (target.useDora) norms.set(target.name, Float32Array.from(await squaredNorms(source, target)));
  }
  const options = {
    model: source.model,
    header: source.header,
    targets,
    squaredNorms: norms,
    keepHalves,
    widenHalves,
    halfProducts,
    documents,
  };
  if (!padRow) return options;
  const { embedding, head } = source.model.tokenTables;
  const padRows = new Map<string, Float32Array>();
  for (const table of new Set([embedding, head])) padRows.set(table, await meanRow(source, table));
  return { ...options, padRows };
}

function feedsOf(batch: Batch, { documents = false }: Base) {
  const { feeds, ...sizes } = lossFeeds(batch);
  if (documents) for (const [name, data] of documentFeeds(batch)) feeds.set(name, data);
  else if (batch.documentLengths?.length) throw new Error("a session for single texts was given several a row");
  return { feeds, ...sizes };
}

function feedMasks(feeds: Map<string, TensorData>, masks: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, mask] of masks) feeds.set(maskName(name), mask);
}

function needed(key: DropoutKey | undefined): DropoutKey {
  if (!key) throw new Error("a session with dropout needs the key of its masks");
  return key;
}

/** Feeds the adapter and gives the ranks for its modules' symbols. `kept`: share that dropout keeps. */
export function feedAdapter(
  feeds: Map<string, TensorData>,
  targets: readonly AdaptedModule[],
  adapter: Adapter | undefined,
  kept = 1,
): Record<string, number> {
  const ranks: Record<string, number> = {};
  if (!adapter) return ranks;
  for (const [name, { data }] of adapter.tensors) feeds.set(name, data);
  feeds.set(DROPOUT_FACTOR, Float32Array.of(1 / kept));
  for (const [i, { name, useDora }] of targets.entries()) {
    const scaling = adapter.ownScalings?.get(name) ?? adapter.scaling;
    feeds.set(scalingName(name), Float32Array.of(useDora ? scaling : scaling / kept));
    ranks[rankSymbol(i)] = adapter.tensors.get(loraNames(name).a)?.shape[0] ?? 0;
  }
  return ranks;
}

function scalarOf(tensor: { data: unknown } | undefined): number {
  const value = (tensor?.data as Float32Array | undefined)?.[0];
  if (value === undefined) throw new Error("the graph gave no loss");
  return value;
}

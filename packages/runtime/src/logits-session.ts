import { buildLogitsGraph, presentName } from "@gradpool/models";
import type { FloatTensor } from "@gradpool/safetensors";
import { KeyValueCache, type CachedTensor } from "./key-value-cache.js";
import type { SessionOptions } from "./session-options.js";
import { Session, type TensorData } from "./session.js";
import { feedAdapter, graphOptions, type Adapter, type Base } from "./training-session.js";

/** Positions that are read at once: the attention's scores [H, S, P + S] stay small, however long the text is. */
const POSITIONS_PER_RUN = 128;

/** Logits of one text's positions: for sampling. */
export class LogitsSession {
  private constructor(
    private readonly session: Session,
    private readonly base: Base,
    /** Cached keys and values. */
    private readonly past: readonly CachedTensor[],
  ) {}

  static async create(base: Base, options: SessionOptions): Promise<LogitsSession> {
    const graph = buildLogitsGraph(await graphOptions(base, options));
    const past = graph.inputs
      .filter(({ name }) => presentName(name) !== undefined)
      .map(({ name, shape }) => ({ name, heads: Number(shape[1]), size: Number(shape[3]) }));
    return new LogitsSession(await Session.create(graph, base.source, options), base, past);
  }

  /** Logits [K, V] after the given positions [K] of one sequence. */
  async run(ids: readonly number[], positions: readonly number[], adapter?: Adapter): Promise<FloatTensor> {
    return this.#extend(new KeyValueCache(), ids, positions, adapter);
  }

  /**
   * Reads `ids`, which continue the text that the cache holds, into it, and gives the logits [V] after
   * the last. Long texts are read piece by piece, with `onPiece` between: a run is synchronous inside (I10).
   */
  async next(
    cache: KeyValueCache,
    ids: readonly number[],
    adapter?: Adapter,
    onPiece: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Float32Array> {
    let start = 0;
    for (; ids.length - start > POSITIONS_PER_RUN; start += POSITIONS_PER_RUN) {
      await this.#extend(cache, ids.slice(start, start + POSITIONS_PER_RUN), [], adapter);
      await onPiece();
    }
    const last = ids.slice(start);
    return (await this.#extend(cache, last, [last.length - 1], adapter)).data;
  }

  async #extend(
    cache: KeyValueCache,
    ids: readonly number[],
    rows: readonly number[],
    adapter?: Adapter,
  ): Promise<FloatTensor> {
    const seen = cache.seenPositions(ids.length);
    const feeds = new Map<string, TensorData>([
      ["ids", BigInt64Array.from(ids, BigInt)],
      ["positions", seen.subarray(cache.places)],
      ["seen_positions", seen],
      ["rows", BigInt64Array.from(rows, BigInt)],
    ]);
    for (const cached of this.past) feeds.set(cached.name, cache.tensor(cached));
    const sizes = { B: 1, S: ids.length, P: cache.places, K: rows.length };
    const symbols = { ...sizes, ...feedAdapter(feeds, this.base.targets, adapter) };
    const outputs = await this.session.run(symbols, feeds);
    const added = this.past.map((cached): [CachedTensor, Float32Array] => {
      const present = outputs.get(presentName(cached.name) ?? "");
      if (!present) throw new Error(`the graph gave no ${presentName(cached.name)}`);
      return [cached, present.data as Float32Array];
    });
    cache.append(ids.length, added);
    const logits = outputs.get("logits");
    if (!logits) throw new Error("the graph gave no logits");
    return { shape: [...logits.dims], data: logits.data as Float32Array };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}

/**
 * Logits, for sampling: a graph that continues where an earlier run ended. It takes room for the keys and values of
 * P positions before and gives those of its own S, so that a token costs one position of work instead of the whole
 * text's (Pope et al. 2022, "Efficiently Scaling Transformer Inference", 2.1), and only one position is copied.
 *
 * P is a symbol like S: one session, and one copy of the weights, reads a prompt piece by piece and makes single
 * tokens (S = 1). Families do not see this: the mask of their attention holds the cache. Rotary keys
 * are kept rotated, by their positions.
 */
import { cast, gather, matmul, verify, type CachedMask, type Graph, type Value } from "@gradpool/graph";
import { buildForward, causalMask, windowMask, type GraphOptions, type Masks } from "./graphs.js";

const PAST = "past.";

/** Of a place that holds nothing yet: it is after every position, so that none attends to it. */
export const EMPTY_POSITION = 2n ** 62n;

/** The output for an input of cached keys or values; undefined for other inputs. */
export function presentName(input: string): string | undefined {
  return input.startsWith(PAST) ? `present.${input.slice(PAST.length)}` : undefined;
}

/**
 * Inputs: ids [B, S], positions [S], seen_positions [P + S] (of the P places' content, EMPTY_POSITION where there is
 * none, then `positions` again), rows [K] of the B·S positions, the LoRA scalings and tensors, and in the order of the
 * layers past.key.0, past.value.0 … [B, K, P, D], P at least 1. Outputs: logits [K, V], and present.key.0 …
 * [B, K, S, D].
 */
export function buildLogitsGraph(options: GraphOptions): Graph {
  const present = new Map<string, Value>();
  const masksOf = (positions: Value) => cachedMasks(positions, present);
  const { graph, hidden, head } = buildForward(options, undefined, { masksOf, following: 0 });
  const rows = graph.input("rows", "int64", ["K"]);
  graph.output("logits", matmul(gather(hidden, rows), cast(head, "float32"), { transB: true }));
  for (const [name, value] of present) graph.output(name, value);
  verify(graph);
  return graph;
}

/** Every attention that takes one of these masks is one more layer. `present` receives its keys and values. */
function cachedMasks(positions: Value, present: Map<string, Value>): Masks {
  const { graph } = positions;
  const seen = graph.input("seen_positions", "int64", ["(P+S)"]);
  const causal = causalMask(positions, seen);
  const pastOf = (name: string, x: Value): Value => {
    const [rows, heads, , size] = x.shape as [Value["shape"][0], number, Value["shape"][0], number];
    const past = graph.input(`${PAST}${name}`, "float32", [rows, heads, "P", size]);
    present.set(presentName(past.name) as string, x);
    return past;
  };
  let layer = 0;
  const remember: CachedMask["remember"] = (k, v) => {
    const past: [Value, Value] = [pastOf(`key.${layer}`, k), pastOf(`value.${layer}`, v)];
    layer++;
    return past;
  };
  const cached = (mask: Value): CachedMask => ({ ...mask, remember });
  return { causal: cached(causal), within: (window) => cached(windowMask(causal, window, positions, seen)) };
}

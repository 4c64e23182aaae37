/**
 * A float32 step against the limit, which is bare products by the same runtime: [1024, 768] × [768, 3072] × [3072, 768] with constant weights. Both
 * in turn in one process, so that the ratio holds on a busy machine, too.
 */
import { createRequire } from "node:module";
import { Graph, matmul, toModelProto } from "@gradpool/graph";
import { onnxSessionOptions } from "@gradpool/runtime";
import type * as Ort from "onnxruntime-node";
import { measured, openStep, type Costs } from "./step.js";

const ort = createRequire(import.meta.url)("onnxruntime-node") as typeof Ort;

const [N, IN, OUT] = [1024, 768, 3072];
/** Products of the hidden width to four times as much and back, before and after each step. */
const PAIRS = 4;
const WARM_UP = 2;

/** The step's rate ÷ the product's, floating-point operations a second, round by round. */
export interface Shares {
  /** By wall time. */
  wall: number[];
  /** By processor time. */
  cpu: number[];
}

export async function stepAgainstProduct(
  folder: string,
  { threads, rounds }: { threads: number; rounds: number },
): Promise<Shares> {
  await using step = await openStep(folder, { threads });
  const product = await openProduct(threads);
  for (let number = 1; number <= WARM_UP; number++) await step.run(number);
  await product.run();
  const shares: Shares = { wall: [], cpu: [] };
  let before = await measured(() => product.run());
  for (let round = 1; round <= rounds; round++) {
    const taken = await measured(() => step.run(WARM_UP + round));
    const after = await measured(() => product.run());
    const share = (key: keyof Costs) => step.flops / taken[key] / ((2 * product.flops) / (before[key] + after[key]));
    shares.wall.push(share("wall"));
    shares.cpu.push(share("cpu"));
    before = after;
  }
  await product.release();
  return shares;
}

/** One after the other without leaving the session, as in a step: the copy of a result as large as this costs a third of a product. */
async function openProduct(threads: number) {
  const numbers = (length: number, scale = 1) => Float32Array.from({ length }, (_, i) => scale * Math.sin(i));
  const graph = new Graph();
  const there = graph.literal(numbers(IN * OUT, IN ** -0.5), [IN, OUT]);
  const back = graph.literal(numbers(OUT * IN, OUT ** -0.5), [OUT, IN]);
  let y = graph.input("x", "float32", [N, IN]);
  for (let i = 0; i < PAIRS; i++) y = matmul(matmul(y, there), back);
  graph.output("y", y);
  const session = await ort.InferenceSession.create(toModelProto(graph), onnxSessionOptions({ threads }));
  const feeds = { x: new ort.Tensor("float32", numbers(N * IN), [N, IN]) };
  return {
    async run(): Promise<void> {
      await session.run(feeds);
    },
    flops: PAIRS * 4 * N * IN * OUT,
    release: () => session.release(),
  };
}

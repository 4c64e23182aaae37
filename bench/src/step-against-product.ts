/**
 * A float32 step against the limit, which is a bare product by the same runtime: [1024, 768] × [768, 3072] with a constant weight. Both
 * in turn in one process, so that the ratio holds on a busy machine, too.
 */
import { createRequire } from "node:module";
import { Graph, matmul, toModelProto } from "@gradpool/graph";
import { onnxSessionOptions } from "@gradpool/runtime";
import type * as Ort from "onnxruntime-node";
import { measured, openStep, type Costs } from "./step.js";

const ort = createRequire(import.meta.url)("onnxruntime-node") as typeof Ort;

const [N, IN, OUT] = [1024, 768, 3072];
/** Products before and after each step. */
const PRODUCTS = 4;
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

async function openProduct(threads: number) {
  const numbers = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i));
  const graph = new Graph();
  const x = graph.input("x", "float32", [N, IN]);
  graph.output("y", matmul(x, graph.literal(numbers(IN * OUT), [IN, OUT])));
  const session = await ort.InferenceSession.create(toModelProto(graph), onnxSessionOptions({ threads }));
  const feeds = { x: new ort.Tensor("float32", numbers(N * IN), [N, IN]) };
  return {
    async run(): Promise<void> {
      for (let i = 0; i < PRODUCTS; i++) await session.run(feeds);
    },
    flops: PRODUCTS * 2 * N * IN * OUT,
    release: () => session.release(),
  };
}

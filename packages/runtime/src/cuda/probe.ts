/**
 * Makes a session on a CUDA device and multiplies two matrices there, as a process of its own: a damaged
 * library may end it. Arguments: the device's index, and onnxruntime-node's main file, which is not
 * imported so that the process loads no other. Prints a ProbeAnswer; what ONNX Runtime logs goes to
 * standard error.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Graph, matmul, toModelProto } from "@gradpool/graph";
import type * as Ort from "onnxruntime-node";
import { onnxSessionOptions } from "../session-options.js";

export interface ProbeAnswer {
  /** Version of the cuBLAS that was loaded, as far as its file name says: "13", or "13.1.0.3". */
  cublasVersion: string;
}

const [index, main] = process.argv.slice(2) as [string, string];
const ort = createRequire(import.meta.url)(main) as typeof Ort;
const graph = new Graph();
const x = graph.input("x", "float32", [2, 2]);
graph.output("y", matmul(x, x));
const options = onnxSessionOptions({ threads: 1, gpu: { provider: "cuda", index: Number(index) } });
const session = await ort.InferenceSession.create(toModelProto(graph), options);
await session.run({ x: new ort.Tensor("float32", Float32Array.of(1, 2, 3, 4), [2, 2]) });
const maps = await readFile("/proc/self/maps", "utf8");
const answer: ProbeAnswer = { cublasVersion: /\/libcublas\.so\.([\d.]+)/.exec(maps)?.[1] ?? "" };
process.stdout.write(JSON.stringify(answer));

/**
 * Makes a session on the WebGPU adapter that this process's environment leaves, as a process of its own: a driver may
 * end it. Prints a ProbeAnswer; what Vulkan's loader and ONNX Runtime log goes to standard error.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { cast, expand, gather, Graph, matmul, mul, toModelProto, usedInputs, writeFor } from "@gradpool/graph";
import type * as Ort from "onnxruntime-node";
import { onnxSessionOptions } from "../session-options.js";

export interface ProbeAnswer {
  /** Largest buffer in bytes, as far as it was tried; 0: not known. */
  largestBuffer: number;
  /** Whether it computes in half precision. */
  float16: boolean;
  /** Version or hash of the driver's library; empty where it was not found. */
  driver: string;
}

const ort = createRequire(import.meta.url)("onnxruntime-node") as typeof Ort;
/** Beginning of the driver's library's file name; none: not looked for. */
const [library = ""] = process.argv.slice(2);

async function sessionOf(graph: Graph): Promise<Ort.InferenceSession> {
  const written = writeFor("webgpu", graph).graph;
  return ort.InferenceSession.create(toModelProto(written), {
    ...onnxSessionOptions({ threads: 1, gpu: { provider: "webgpu" } }),
    logSeverityLevel: 4,
  });
}

const square = () => new ort.Tensor("float32", Float32Array.of(1, 2, 3, 4), [2, 2]);

/** Errors: ONNX Runtime's, where there is no adapter. */
async function multiply(): Promise<void> {
  const graph = new Graph();
  const x = graph.input("x", "float32", [2, 2]);
  graph.output("y", matmul(x, x));
  const session = await sessionOf(graph);
  await session.run({ x: square() });
}

async function hasFloat16(): Promise<boolean> {
  const graph = new Graph();
  const half = cast(graph.input("x", "float32", [2, 2]), "float16");
  graph.output("y", cast(mul(half, half), "float32"));
  const session = await sessionOf(graph);
  return session.run({ x: square() }).then(
    () => true,
    () => false,
  );
}

const GIB = 2 ** 30;

/** The limit is named only when something exceeds it, which is refused before any memory is taken. */
async function largestBuffer(): Promise<number> {
  const graph = new Graph();
  const x = graph.input("x", "float32", [1, 1]);
  const rows = expand(x, ["N", 1024]);
  graph.output("y", gather(rows, graph.literal(BigInt64Array.of(0n), [1])));
  const shape = usedInputs(graph).find((input) => graph.shapeInputs.has(input))?.name ?? "";
  const session = await sessionOf(graph);
  for (const size of [4 * GIB, 2 * GIB, GIB, GIB / 4]) {
    const dims = BigInt64Array.of(BigInt(size / 4096 + 1), 1024n);
    try {
      await session.run({
        x: new ort.Tensor("float32", Float32Array.of(1), [1, 1]),
        [shape]: new ort.Tensor("int64", dims, [2]),
      });
      return size;
    } catch (error) {
      const limit = /max buffer size limit \((\d+)\)/.exec((error as Error).message)?.[1];
      if (limit) return Number(limit);
    }
  }
  return 0;
}

/** A version in the file's name, as NVIDIA's has it, else its hash: Mesa's compilers are in it. */
async function driverOf(prefix: string): Promise<string> {
  const maps = prefix === "" ? "" : await readFile("/proc/self/maps", "utf8").catch(() => "");
  const path = maps.split("\n").flatMap((line) => /\S+ +(\/.*)$/.exec(line)?.[1] ?? []);
  const file = path.find((name) => basename(name).startsWith(prefix));
  if (file === undefined) return "";
  const version = /\.so\.(\d+\.[\d.]+)$/.exec(file)?.[1];
  if (version) return version;
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex").slice(0, 12);
}

await multiply();
const answer: ProbeAnswer = {
  largestBuffer: await largestBuffer(),
  float16: await hasFloat16(),
  driver: await driverOf(library),
};
process.stdout.write(JSON.stringify(answer));

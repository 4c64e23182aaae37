/**
 * Asks ONNX Runtime's CUDA provider itself which kernels it has that run without cuDNN: a session of a single
 * node, on CUDA, without CPU fallback. Then creates and runs every graph that the models emit. Argument:
 * onnxruntime-node's main file, with the provider next to its library; --write rewrites the fixture.
 * `scripts/cuda-kernels.sh` runs this, even on a machine without a GPU.
 */
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { evaluateDim, Graph, OPS, toModelProto, usedInputs, type Dtype, type Op, type Value } from "@gradpool/graph";
import { rankSymbol } from "@gradpool/models";
import { onnxSessionOptions } from "@gradpool/runtime";
import { modelGraphs, signatureOf } from "./model-graphs.js";

const DTYPES: readonly Dtype[] = ["float32", "float16", "bfloat16", "int64", "bool"];
const FIXTURE = fileURLToPath(new URL("../../fixtures/cuda-kernels.json", import.meta.url));

interface Session {
  run(feeds: Record<string, object>): Promise<unknown>;
  release(): Promise<void>;
}

interface OnnxRuntime {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  Tensor: new (type: string, data: object, dims: number[]) => object;
  env: { versions: { common: string } };
}

type Apply = (graph: Graph, dtype: Dtype) => void;

function opOf(name: string): Op {
  const op = OPS[name];
  if (!op) throw new Error(`there is no op ${name}; remove it from this file`);
  return op;
}

const matrix = (graph: Graph, name: string, dtype: Dtype) => graph.input(name, dtype, [4, 8]);
const numbers = (graph: Graph, ...values: bigint[]) => graph.literal(BigInt64Array.from(values), [values.length]);

/** Applies an op to matrices [4, 8], followed by the inputs that `more` returns. */
const onMatrices =
  (op: string, matrices: number, more: (graph: Graph) => Value[] = () => [], attributes = {}): Apply =>
  (graph, dtype) => {
    const inputs = Array.from({ length: matrices }, (_, i) => matrix(graph, `x${i}`, dtype));
    graph.apply(opOf(op), [...inputs, ...more(graph)], attributes);
  };

const unary: string[] = ["Exp", "Log", "Sqrt", "Cos", "Sin", "Erf", "Sigmoid", "Relu"];
const binary: string[] = ["Add", "Sub", "Mul", "Div", "Greater"];
const lastAxis = (graph: Graph) => [numbers(graph, -1n)];

/** For each op, its smallest uses by element type. */
const USES: Readonly<Record<string, Apply | Apply[]>> = {
  ...Object.fromEntries(unary.map((op) => [op, onMatrices(op, 1)])),
  ...Object.fromEntries(binary.map((op) => [op, onMatrices(op, 2)])),
  Gelu: onMatrices("Gelu", 1, undefined, { approximate: "tanh" }),
  Softmax: onMatrices("Softmax", 1, undefined, { axis: -1 }),
  Where: (graph, dtype) => {
    graph.apply(opOf("Where"), [
      graph.input("c", "bool", [4, 8]),
      matrix(graph, "x", dtype),
      matrix(graph, "y", dtype),
    ]);
  },
  Cast: DTYPES.map(
    (to): Apply =>
      (graph, dtype) =>
        void (to !== dtype && graph.apply(opOf("Cast"), [matrix(graph, "x", dtype)], { to })),
  ),
  FusedMatMul: onMatrices("FusedMatMul", 2, undefined, { transA: false, transB: true, alpha: 1 }),
  Gemm: (graph, dtype) => {
    const [a, b] = [matrix(graph, "a", dtype), matrix(graph, "b", dtype)];
    graph.apply(opOf("Gemm"), [a, b, graph.input("c", dtype, [4])], { transB: true });
  },
  LayerNormalization: (graph, dtype) => {
    const [weight, bias] = [graph.input("w", dtype, [8]), graph.input("b", dtype, [8])];
    graph.apply(opOf("LayerNormalization"), [matrix(graph, "x", dtype), weight, bias], { axis: -1, epsilon: 1e-5 });
  },
  SimplifiedLayerNormalization: (graph, dtype) => {
    const inputs = [matrix(graph, "x", dtype), graph.input("w", dtype, [8])];
    graph.apply(opOf("SimplifiedLayerNormalization"), inputs, { axis: -1, epsilon: 1e-5 });
  },
  RotaryEmbedding: (graph, dtype) => {
    const angles = ["cosines", "sines"].map((name) => graph.input(name, dtype, [4, 4]));
    graph.apply(opOf("RotaryEmbedding"), [graph.input("x", dtype, [1, 2, 4, 8]), numbers(graph, 0n), ...angles]);
  },
  ReduceSum: onMatrices("ReduceSum", 1, lastAxis, { keepdims: true }),
  TopK: onMatrices("TopK", 1, (graph) => [numbers(graph, 1n)], { axis: -1, largest: true, sorted: false }),
  Reshape: onMatrices("Reshape", 1, (graph) => [numbers(graph, 8n, 4n)]),
  Expand: onMatrices("Expand", 1, (graph) => [numbers(graph, 2n, 4n, 8n)]),
  Transpose: onMatrices("Transpose", 1, undefined, { perm: [1, 0] }),
  Split: [
    onMatrices("Split", 1, undefined, { axis: 1, num_outputs: 2 }),
    onMatrices("Split", 1, (graph) => [numbers(graph, 3n, 5n)], { axis: 1 }),
  ],
  Concat: onMatrices("Concat", 2, undefined, { axis: 0 }),
  Gather: onMatrices("Gather", 1, (graph) => [graph.input("i", "int64", [3])], { axis: 0 }),
  GatherElements: onMatrices("GatherElements", 1, (graph) => [graph.input("i", "int64", [4, 1])], { axis: 1 }),
};

/** Of base_precision, which is for processors alone. */
const ON_PROCESSORS = ["Max", "ReduceMax", "ReduceMin", "QuantizeLinear", "DequantizeLinear", "MatMulIntegerToFloat"];

const [main, ...flags] = process.argv.slice(2);
if (!main) throw new Error("give onnxruntime-node's main file");
const ort = createRequire(import.meta.url)(main) as OnnxRuntime;

/** Sizes used here for the graphs' symbols; each target has a rank. */
const RANKS = Array.from({ length: 1_000 }, (_, target) => [rankSymbol(target), 4] as const);
const SIZES = { B: 2, S: 8, K: 3, P: 5, ...Object.fromEntries(RANKS) };
const ARRAYS = { float32: Float32Array, float16: Uint16Array, int64: BigInt64Array, bool: Uint8Array };

/** Zeros for every input but the shapes. */
function feedsOf(graph: Graph): Record<string, object> {
  return Object.fromEntries(
    usedInputs(graph).map((value) => {
      const dims = value.shape.map((dim) => evaluateDim(dim, SIZES));
      const shape = graph.shapeInputs.get(value)?.map((dim) => BigInt(evaluateDim(dim, SIZES)));
      const zeros = new ARRAYS[value.dtype as keyof typeof ARRAYS](dims.reduce((size, dim) => size * dim, 1));
      return [value.name, new ort.Tensor(value.dtype, shape ? BigInt64Array.from(shape) : zeros, dims)];
    }),
  );
}

/** Whether the graph runs on CUDA without CPU fallback or cuDNN. */
async function runs(graph: Graph, entries: Record<string, string>, optimize: boolean): Promise<boolean> {
  const options = onnxSessionOptions({ threads: 1, gpu: { provider: "cuda", index: 0 } }, entries);
  const level = optimize ? {} : ({ graphOptimizationLevel: "disabled" } as const);
  try {
    const quiet = { ...options, ...level, logSeverityLevel: 4 } as const;
    const session = await ort.InferenceSession.create(toModelProto(graph), quiet);
    await session.run(feedsOf(graph));
    await session.release();
    return true;
  } catch (error) {
    const { message } = error as Error;
    if (/cuDNN is unavailable/.test(message)) return false;
    // Only the CPU provider has a kernel, or none has.
    if (/assigned to the default CPU EP|Provider type .* is not set|Could not find an implementation/.test(message)) {
      return false;
    }
    // The session was created, but the Node binding does not know bfloat16, which is on the graph's edges.
    if (/Unsupported data type: 16/.test(message)) return true;
    // ONNX itself does not have the op for this type.
    if (/Type Error|is invalid/.test(message)) return false;
    throw error;
  }
}

async function kernels(): Promise<string[]> {
  const found: string[] = [];
  for (const [op, uses] of Object.entries(USES)) {
    for (const dtype of DTYPES) {
      for (const use of [uses].flat()) {
        const graph = new Graph();
        use(graph, dtype);
        const [node] = graph.nodes;
        if (!node) continue;
        for (const [i, output] of node.outputs.entries()) graph.output(`y${i}`, output);
        if (await runs(graph, {}, false)) found.push(signatureOf(node));
      }
    }
    console.log(`${op}: ${found.filter((signature) => signature.includes(`:${op}(`)).length} kernels`);
  }
  // The outputs above went through it.
  return [...found, ...DTYPES.map((dtype) => `ai.onnx:Identity(${dtype}) ${dtype}`)].sort();
}

const missing = Object.keys(OPS).filter((op) => !(op in USES) && !ON_PROCESSORS.includes(op));
if (missing.length > 0) throw new Error(`add uses of ${missing.join(", ")} to this file`);
const source = `ONNX Runtime ${ort.env.versions.common}'s CUDA provider, asked by scripts/cuda-kernels.sh; opset 20`;
const found = await kernels();
if (flags.includes("--write")) writeFileSync(FIXTURE, `${JSON.stringify({ source, kernels: found }, undefined, 2)}\n`);
let graphs = 0;
for await (const { name, graph, source } of modelGraphs()) {
  const folder = { model_external_initializers_file_folder_path: source.weightsDir };
  if (!(await runs(graph, folder, true))) throw new Error(`${name}: it does not run on CUDA alone`);
  graphs += 1;
}
console.log(`${graphs} graphs run on CUDA alone; ${found.length} kernels known`);

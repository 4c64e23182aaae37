/** The one file that knows the ONNX format (onnx/onnx-ml.proto, IR 10, opset 20). */
import type { Dim } from "./dims.js";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  ModelProto,
  type NodeProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from "./gen/onnx-ml.js";
import type { Attribute, AttributeKind, Dtype, FileSlice, Graph, Literal, Node, TensorType, Value } from "./graph.js";
import { reachable, readBy } from "./reachable.js";

type PartialNode = Parameters<typeof NodeProto.fromPartial>[0];
type PartialAttribute = Parameters<typeof AttributeProto.fromPartial>[0];

const IR_VERSION = 10n;
const OPSET = 20n;

const DATA_TYPES: Record<Dtype, TensorProto_DataType> = {
  float32: TensorProto_DataType.FLOAT,
  float16: TensorProto_DataType.FLOAT16,
  bfloat16: TensorProto_DataType.BFLOAT16,
  int64: TensorProto_DataType.INT64,
  int8: TensorProto_DataType.INT8,
  uint8: TensorProto_DataType.UINT8,
  bool: TensorProto_DataType.BOOL,
};

/**
 * The graph as an ONNX model, without what no output needs. Weights refer to their files by paths in
 * the folder that the runtime is given.
 */
export function toModelProto(graph: Graph): Uint8Array<ArrayBuffer> {
  const { nodes, used } = reachable(graph);
  const initializer = [
    ...[...graph.weights].filter(([{ name }]) => used.has(name)).map(([value, slice]) => weight(value, slice)),
    ...[...graph.literals].filter(([{ name }]) => used.has(name)).map(([value, data]) => literal(value, data)),
  ];
  // An output is a value's own name in ONNX; Identity gives it the one that the caller asked for.
  const outputs = [...graph.outputs].map(([name, value]) => ({ name, value }));
  const model = ModelProto.fromPartial({
    irVersion: IR_VERSION,
    producerName: "gradpool",
    opsetImport: [
      { domain: "", version: OPSET },
      { domain: "com.microsoft", version: 1n },
    ],
    graph: {
      name: "gradpool",
      node: [
        ...endsInReverse(nodes).map(nodeProto),
        ...outputs.map(({ name, value }) => ({ opType: "Identity", input: [value.name], output: [name] })).reverse(),
      ],
      initializer,
      // ONNX Runtime packs only weights that no input can replace.
      input: [...graph.inputs, ...graph.unpacked]
        .filter(({ name }) => used.has(name))
        .map((value) => valueInfo(value.name, value)),
      output: outputs.map(({ name, value }) => valueInfo(name, value)),
      // Where sizes have no names, ONNX Runtime uses no buffer again, and searches all that are free for each new one.
      valueInfo: nodes.flatMap((node) => node.outputs.map((value) => valueInfo(value.name, value))),
    },
  });
  return new Uint8Array(ModelProto.encode(model).finish());
}

/**
 * The nodes that no other reads come last, and in reverse. ONNX Runtime begins with the last such node and computes what it
 * needs, then with the one before: it would compute the gradients of all layers before the second of the adapter's, and keep what
 * those are made of.
 */
function endsInReverse(nodes: readonly Node[]): Node[] {
  const read = new Set(nodes.flatMap((node) => readBy(node).map(({ name }) => name)));
  const isRead = ({ outputs }: Node) => outputs.some(({ name }) => read.has(name));
  return [...nodes.filter(isRead), ...nodes.filter((node) => !isRead(node)).reverse()];
}

/** Names of the inputs that the outputs depend on: exactly these must be fed. */
export function usedInputs(graph: Graph): Value[] {
  const { used } = reachable(graph);
  return graph.inputs.filter(({ name }) => used.has(name));
}

function nodeProto({ op, inputs, attributes, outputs }: Node): PartialNode {
  return {
    opType: op.name,
    domain: op.domain,
    name: outputs[0]?.name ?? op.name,
    input: inputs.map(({ name }) => name),
    output: outputs.map(({ name }) => name),
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, op.attributes[name], value)),
  };
}

function attribute(name: string, kind: AttributeKind | undefined, value: Attribute): PartialAttribute {
  const is = AttributeProto_AttributeType;
  switch (kind) {
    case "int":
    case "flag":
      return { name, type: is.INT, i: BigInt(value as number | boolean) };
    case "dtype":
      return { name, type: is.INT, i: BigInt(DATA_TYPES[value as Dtype]) };
    case "ints":
      return { name, type: is.INTS, ints: (value as readonly number[]).map(BigInt) };
    case "float":
      return { name, type: is.FLOAT, f: value as number };
    case "string":
      return { name, type: is.STRING, s: new TextEncoder().encode(value as string) };
    case "graph":
      return { name, type: is.GRAPH, g: bodyProto(value as Graph) };
    case undefined:
      throw new Error(`there is no attribute ${name}`);
  }
}

/** A graph inside of a node: the outer one's values are known to it. Its outputs have their values' own names. */
function bodyProto(graph: Graph) {
  const named = (value: Value) => valueInfo(value.name, value);
  return {
    name: "body",
    node: reachable(graph).nodes.map(nodeProto),
    input: graph.inputs.map(named),
    output: [...graph.outputs.values()].map(named),
  };
}

const knownDims = ({ shape }: TensorType) => shape.map((dim) => BigInt(dim));

function weight(value: Value, { file, offset, length }: FileSlice) {
  return {
    name: value.name,
    dataType: DATA_TYPES[value.dtype],
    dims: knownDims(value),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [
      { key: "location", value: file },
      { key: "offset", value: String(offset) },
      { key: "length", value: String(length) },
    ],
  };
}

function literal(value: Value, data: Literal) {
  return {
    name: value.name,
    dataType: DATA_TYPES[value.dtype],
    dims: knownDims(value),
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

const dimension = (dim: Dim) => (typeof dim === "number" ? { dimValue: BigInt(dim) } : { dimParam: dim });

function valueInfo(name: string, { dtype, shape }: TensorType) {
  return {
    name,
    type: { tensorType: { elemType: DATA_TYPES[dtype], shape: { dim: shape.map(dimension) } } },
  };
}

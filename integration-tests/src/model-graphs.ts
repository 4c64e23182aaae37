/** Every kind of graph that the models emit, and which kernels it needs from an execution provider. */
import type { Graph, Node } from "@gradpool/graph";
import { openModel, type ModelSource } from "@gradpool/model-source";
import {
  buildLogitsGraph,
  buildLossGraph,
  buildTrainingGraph,
  type GraphOptions,
  type WeightsHeader,
} from "@gradpool/models";
import { Golden, GOLDEN_CASES } from "./golden.js";

export interface ModelGraph {
  name: string;
  graph: Graph;
  /** Where its weights are; they are stored in the files as the graph says. */
  source: ModelSource;
}

/** Training with and without dropout, LoRA's and DoRA's, loss, both of several documents a row, and logits, each with and without an added pad token, of every reference model. */
export async function* modelGraphs(): AsyncGenerator<ModelGraph> {
  for (const name of GOLDEN_CASES) {
    const source = await openModel(new Golden(name).modelDir);
    for (const [kind, graph] of graphsOf(source, source.header)) yield { name: `${name}: ${kind}`, graph, source };
  }
}

/** The same graphs over weights that are stored in half precision, which the files here are not, and computed in it. */
export async function* halfPrecisionGraphs(): AsyncGenerator<ModelGraph> {
  for (const name of GOLDEN_CASES) {
    const source = await openModel(new Golden(name).modelDir);
    for (const dtype of ["F16", "BF16"] as const) {
      const tensors = new Map([...source.header.tensors].map(([key, entry]) => [key, { ...entry, dtype }]));
      for (const [kind, graph] of graphsOf(source, { tensors })) {
        yield { name: `${name} in ${dtype}: ${kind}`, graph, source };
      }
      if (dtype === "BF16") continue;
      for (const [kind, graph] of graphsOf(source, { tensors }, { keepHalves: true, halfProducts: true })) {
        yield { name: `${name} computed in F16: ${kind}`, graph, source };
      }
    }
  }
}

function graphsOf(
  { model }: ModelSource,
  header: WeightsHeader,
  precision: Pick<GraphOptions, "keepHalves" | "halfProducts"> = {},
): [kind: string, graph: Graph][] {
  const { modules } = model.description;
  const { embedding, head } = model.tokenTables;
  const rowOf = (table: string) => new Float32Array(header.tensors.get(table)?.shape[1] ?? 0);
  const padRows = new Map([embedding, head].map((table) => [table, rowOf(table)]));
  const dora = {
    targets: modules.map((module) => ({ ...module, useDora: true })),
    squaredNorms: new Map(modules.map(({ name, outFeatures }) => [name, new Float32Array(outFeatures)])),
  };
  return [{}, { padRows }].flatMap((pad): [string, Graph][] => {
    const options = { model, header, targets: modules, ...pad, ...precision };
    const suffix = "padRows" in pad ? " with an added pad token" : "";
    return [
      [`training${suffix}`, buildTrainingGraph({ ...options, dropout: false })],
      [`training with dropout${suffix}`, buildTrainingGraph({ ...options, dropout: true })],
      [`DoRA${suffix}`, buildTrainingGraph({ ...options, ...dora, dropout: false })],
      [`DoRA with dropout${suffix}`, buildTrainingGraph({ ...options, ...dora, dropout: true })],
      [`loss${suffix}`, buildLossGraph(options)],
      [
        `training on several documents a row${suffix}`,
        buildTrainingGraph({ ...options, documents: true, dropout: false }),
      ],
      [`loss of several documents a row${suffix}`, buildLossGraph({ ...options, documents: true })],
      [`logits${suffix}`, buildLogitsGraph(options)],
    ];
  });
}

/** What a kernel is found by, such as "com.microsoft:FusedMatMul(float32, float32) float32". */
export function signatureOf({ op, inputs, outputs }: Node): string {
  const types = inputs.map(({ dtype }) => dtype).join(", ");
  return `${op.domain === "" ? "ai.onnx" : op.domain}:${op.name}(${types}) ${outputs[0]?.dtype ?? ""}`;
}

/** The kernels that a graph needs, each once. Outputs pass through Identity, which gives them their names. */
export function signaturesOf({ nodes, outputs }: Graph): Set<string> {
  const identities = [...outputs.values()].map(({ dtype }) => `ai.onnx:Identity(${dtype}) ${dtype}`);
  return new Set([...nodes.map(signatureOf), ...identities]);
}

import type { Node, Value } from "../graph.js";

/** Outputs for a node's inputs, in the graph that those belong to; undefined for an output that nothing may use. */
export type Rule = (inputs: readonly Value[], node: Node) => readonly (Value | undefined)[];

export interface Provider {
  /** Nodes that the processor computes before, with all that they depend on, instead of the device. */
  isForProcessor(node: Node): boolean;
  /** By the op's name; one without a rule is written as it is. */
  rules: Readonly<Record<string, Rule>>;
}

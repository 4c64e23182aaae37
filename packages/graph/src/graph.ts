/**
 * The graph under construction: values in single assignment form, nodes in order of execution, and
 * the tape that `backward` walks. A node applies one op; a group (`withGradient`) is a run of nodes
 * that is differentiated as one, by a rule of its own.
 */
import { sameShape, type Dim, type Shape } from "./dims.js";

export type Dtype = "float32" | "float16" | "bfloat16" | "int64" | "int8" | "uint8" | "bool";

export interface TensorType {
  readonly dtype: Dtype;
  readonly shape: Shape;
}

export interface Value extends TensorType {
  readonly graph: Graph;
  readonly name: string;
  /** Some trainable input leads to this value. */
  readonly needsGradient: boolean;
}

/** Types of an op's attributes, each by its name here; ONNX writes flags as 0 or 1. */
export interface AttributeTypes {
  int: number;
  ints: readonly number[];
  float: number;
  string: string;
  flag: boolean;
  dtype: Dtype;
  graph: Graph;
}

export type AttributeKind = keyof AttributeTypes;
export type Attribute = AttributeTypes[AttributeKind];
export type Attributes = Readonly<Record<string, Attribute>>;

/** Vector–Jacobian product: from the gradients of a node's outputs to that of one input. */
export type Vjp = (node: Node, outputGradients: readonly (Value | undefined)[]) => Value;

/** What an ONNX op needs: `defineOp` makes it. */
export interface Op {
  /** ONNX's name. */
  readonly name: string;
  /** ONNX domain: standard ops, or ONNX Runtime's own. */
  readonly domain: "" | "com.microsoft";
  readonly attributes: Readonly<Record<string, AttributeKind>>;
  /** Types of the outputs, at least one; throws on inputs that do not fit. */
  infer(inputs: readonly Value[], attributes: Attributes): TensorType[];
  /**
   * One rule per input; null where none exists (indices, shapes) or none is needed (frozen tables). It may leave a
   * gradient in the shape that its input was broadcast to: `backward` adds that up.
   */
  readonly vjp: readonly (Vjp | null)[];
}

/** Of nodes that a processor computes for some rows after the other, so that what is between them stays in its cache. */
export interface Chunk {
  /** The first dimension, that of rows, of what the nodes compute: each row by itself. */
  readonly rows: Dim;
  /** About this many rows at once. */
  readonly wanted: number;
  /** Not computed before this [rows, …] is known. */
  readonly after?: Value;
}

export interface Node {
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
  readonly chunk?: Chunk | undefined;
}

/** Where a weight's bytes are: `file` is a path in the folder that the runtime is given. */
export interface FileSlice {
  file: string;
  offset: number;
  length: number;
}

/** A matrix as whole numbers of eight bits [K, M], and what each column's are multiplied by [M]. */
export interface Int8Matrix {
  numbers: Value;
  scales: Value;
}

export type Literal = Float32Array | BigInt64Array | Int8Array | Uint8Array;

function dtypeOf(data: Literal): Dtype {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof BigInt64Array) return "int64";
  return data instanceof Int8Array ? "int8" : "uint8";
}

/** What `backward` needs of a node or group: gradients of the outputs to gradients of the inputs. */
export interface TapeEntry {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  vjp(outputGradients: readonly (Value | undefined)[]): readonly (Value | undefined)[];
}

export class Graph {
  readonly inputs: Value[] = [];
  /** Weights that stay in their file. */
  readonly weights = new Map<Value, FileSlice>();
  /** Those of the weights that products read where their file is mapped. */
  readonly unpacked = new Set<Value>();
  /** Weights that were quantized before, for x·W and for x·Wᵀ: see `int8Product`. */
  readonly int8 = { plain: new Map<Value, Int8Matrix>(), transposed: new Map<Value, Int8Matrix>() };
  /** Small values written into the graph itself. */
  readonly literals = new Map<Value, Literal>();
  /** Inputs that carry a shape: what a runtime feeds once it knows the symbols' values. */
  readonly shapeInputs = new Map<Value, Shape>();
  /** Shapes that are computed while the graph runs, and known before: see `reshapeAfter`. */
  readonly lateShapes = new Map<Value, Shape>();
  readonly nodes: Node[] = [];
  readonly outputs = new Map<string, Value>();
  tape: TapeEntry[] = [];
  #names = 0;
  #recording = true;
  #chunk: Chunk | undefined;

  /**
   * `halfProducts`: the device multiplies float16 matrices, as weights that are kept as halves ask for.
   * `unsignedWeights`: its products of uint8 with int8 are not exact, unlike those of uint8 with uint8.
   */
  constructor(
    readonly halfProducts = false,
    readonly unsignedWeights = false,
  ) {}

  /** An input that the runtime feeds; gradients are taken with respect to trainable ones. */
  input(name: string, dtype: Dtype, shape: Shape, options: { trainable?: boolean } = {}): Value {
    const value = this.#value(name, { dtype, shape }, options.trainable ?? false);
    this.inputs.push(value);
    return value;
  }

  /** A frozen weight, which stays in its file. */
  weight(name: string, dtype: Dtype, shape: Shape, slice: FileSlice): Value {
    const value = this.#value(name, { dtype, shape }, false);
    this.weights.set(value, slice);
    return value;
  }

  /** A small constant. Equal scalars and vectors share one. */
  literal(data: Literal, shape: readonly number[] = []): Value {
    const dtype = dtypeOf(data);
    for (const [value, known] of this.literals) {
      const same =
        value.dtype === dtype && sameShape(value.shape, shape) && known.every((x, i) => Object.is(x, data[i]));
      if (same) return value;
    }
    const value = this.#value(`literal${this.literals.size}`, { dtype, shape }, false);
    this.literals.set(value, data);
    return value;
  }

  scalar(value: number): Value {
    return this.literal(Float32Array.of(value));
  }

  /** The given dimensions as an int64 vector, for Reshape and Split: a literal if all are known, else an input. */
  shapeVector(dims: readonly Dim[]): Value {
    if (dims.every((dim) => typeof dim === "number"))
      return this.literal(BigInt64Array.from(dims, BigInt), [dims.length]);
    for (const [value, known] of this.shapeInputs) if (sameShape(known, dims)) return value;
    const value = this.input(`shape[${dims.join(",")}]`, "int64", [dims.length]);
    this.shapeInputs.set(value, dims);
    return value;
  }

  /** The numbers of a literal. */
  numbersOf(literal: Value): number[] {
    const data = this.literals.get(literal);
    if (!data) throw new Error(`${literal.name} must be a literal`);
    return Array.from(data, Number);
  }

  /** The dimensions in a vector of `shapeVector` or `reshapeAfter`. */
  dimsOf(vector: Value): Shape {
    return this.shapeInputs.get(vector) ?? this.lateShapes.get(vector) ?? this.numbersOf(vector);
  }

  /** Applies an op and records it on the tape. */
  apply(op: Op, inputs: readonly Value[], attributes: Attributes = {}): [Value, ...Value[]] {
    const needsGradient = this.#recording && inputs.some((input) => input.needsGradient);
    for (const [i, input] of inputs.entries()) {
      if (this.#recording && input.needsGradient && !op.vjp[i])
        throw new Error(`${op.name} has no gradient for input ${i}`);
    }
    const outputs = op
      .infer(inputs, attributes)
      .map((type) => this.#value(`${op.name}_${this.#names++}`, type, needsGradient)) as [Value, ...Value[]];
    const node: Node = { op, inputs, attributes, outputs, chunk: this.#chunk };
    this.nodes.push(node);
    if (needsGradient) {
      const vjp: TapeEntry["vjp"] = (gradients) =>
        inputs.map((input, i) => (input.needsGradient ? op.vjp[i]?.(node, gradients) : undefined));
      this.tape.push({ inputs, outputs, vjp });
    }
    return outputs;
  }

  /**
   * Builds `forward`'s nodes as one group whose gradient is `vjp`, not the chain rule through its
   * parts: for where there is a cheaper formula (jax.custom_vjp, torch.autograd.Function).
   * `vjp` is called at most once, only if the result is used, and gives one gradient per input
   * (undefined where `needsGradient` is false).
   */
  withGradient(inputs: readonly Value[], forward: () => Value, vjp: (gradient: Value) => (Value | undefined)[]): Value {
    const wasRecording = this.#recording;
    this.#recording = false;
    const inner = forward();
    this.#recording = wasRecording;
    if (!wasRecording || !inputs.some((input) => input.needsGradient)) return inner;
    const output: Value = { ...inner, needsGradient: true };
    this.tape.push({ inputs, outputs: [output], vjp: ([gradient]) => (gradient ? vjp(gradient) : []) });
    return output;
  }

  /** Runs `build` without recording: for gradients, which are not differentiated again. */
  withoutTape<T>(build: () => T): T {
    const wasRecording = this.#recording;
    this.#recording = false;
    try {
      return build();
    } finally {
      this.#recording = wasRecording;
    }
  }

  /**
   * Builds nodes that compute each row by itself: a processor computes them for a few rows after the other
   * (providers/cpu.ts), a GPU for all at once. Their gradient is a group's: see `withGradient`.
   */
  inChunks<T>(chunk: Chunk, build: () => T): T {
    const outer = this.#chunk;
    this.#chunk = outer ?? { ...chunk };
    try {
      return build();
    } finally {
      this.#chunk = outer;
    }
  }

  /**
   * What chunks computed, computed again in the chunks that are built now, instead of kept until then; a value that is
   * not of chunks is itself. ONNX Runtime shares equal nodes outside of chunks, so on a GPU it is kept.
   */
  again(value: Value): Value {
    const copies = new Map<string, Value>();
    const copyOf = (wanted: Value): Value => {
      const maker = this.#makerOf(wanted);
      if (!maker?.chunk || maker.chunk === this.#chunk || maker.chunk.wanted !== this.#chunk?.wanted) return wanted;
      if (!copies.has(wanted.name)) {
        const outputs = this.apply(maker.op, maker.inputs.map(copyOf), maker.attributes);
        for (const [i, output] of outputs.entries()) copies.set(maker.outputs[i]?.name ?? "", output);
      }
      return copies.get(wanted.name) as Value;
    };
    return this.withoutTape(() => copyOf(value));
  }

  /** What chunks computed, computed again once `after` [N, …] is known; a value that is not of chunks is itself. */
  againAfter(value: Value, after: Value): Value {
    const chunk = this.#makerOf(value)?.chunk;
    return chunk ? this.inChunks({ ...chunk, after }, () => this.again(value)) : value;
  }

  #makerOf(value: Value): Node | undefined {
    return this.nodes.find(({ outputs }) => outputs.some(({ name }) => name === value.name));
  }

  /** Runs `build` with a tape of its own, which it gives instead of adding to the graph's. */
  recordApart<T>(build: () => T): { result: T; tape: TapeEntry[] } {
    const [outer, wasRecording] = [this.tape, this.#recording];
    this.tape = [];
    this.#recording = true;
    try {
      return { result: build(), tape: this.tape };
    } finally {
      this.tape = outer;
      this.#recording = wasRecording;
    }
  }

  output(name: string, value: Value): void {
    if (this.outputs.has(name)) throw new Error(`output ${name} is defined twice`);
    this.outputs.set(name, value);
  }

  #value(name: string, type: TensorType, needsGradient: boolean): Value {
    return { graph: this, name, dtype: type.dtype, shape: [...type.shape], needsGradient };
  }
}

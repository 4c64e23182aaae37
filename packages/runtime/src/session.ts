/** The one file that talks to ONNX Runtime. */
import { createRequire } from "node:module";
import { evaluateDim, toModelProto, usedInputs, writeFor, type Graph, type Value } from "@gradpool/graph";
import { GradpoolError } from "@gradpool/errors";
import type * as Ort from "onnxruntime-node";
import { checkWeightSizes } from "./gpu-limits.js";
import { sessionError } from "./session-errors.js";
import { onnxSessionOptions, type SessionOptions } from "./session-options.js";

// From 1.30 on the library sends usage data to its maker. Set where it is imported, too, since a worker thread's
// variables are a copy that native code does not see.
process.env["ORT_DISABLE_TELEMETRY"] ??= "1";

let loaded: typeof Ort | undefined;

/** 45 MB of library, loaded when first needed. */
function onnxRuntime(): typeof Ort {
  try {
    return (loaded ??= createRequire(import.meta.url)("onnxruntime-node") as typeof Ort);
  } catch (cause) {
    const [reason] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
    const advice = "it runs on Linux (glibc), macOS and Windows, on x64 and arm64: install gradpool there, with npm ci";
    throw new GradpoolError("failed_precondition", `ONNX Runtime cannot be loaded (${reason}); ${advice}`, { cause });
  }
}

/**
 * Version of ONNX Runtime: another one may round differently. Errors: `failed_precondition` when it
 * cannot be loaded on this machine.
 */
export function onnxRuntimeVersion(): string {
  const { versions } = onnxRuntime().env;
  return versions.node ?? versions.common;
}

/** Where the files are that a graph's weights refer to. */
export interface WeightsLocation {
  /** Absolute folder. ONNX Runtime reads nothing outside it, even through links. */
  weightsDir: string;
}

export type TensorData = Float32Array | BigInt64Array | Uint8Array;

/** A compiled graph over a model's weights, which ONNX Runtime maps from their files. */
export class Session {
  readonly #session: Ort.InferenceSession;
  readonly #inputs: readonly Value[];
  readonly #shapeInputs: Graph["shapeInputs"];
  /** Gives some of the inputs, on the processor. */
  readonly #before: Session | undefined;

  private constructor(session: Ort.InferenceSession, graph: Graph, before: Session | undefined) {
    this.#session = session;
    this.#inputs = usedInputs(graph);
    this.#shapeInputs = graph.shapeInputs;
    this.#before = before;
  }

  /** Errors: those of checkWeightSizes and sessionError. */
  static async create(graph: Graph, weights: WeightsLocation, options: SessionOptions): Promise<Session> {
    const folder = { model_external_initializers_file_folder_path: weights.weightsDir };
    const written = writeFor(options.gpu?.provider ?? "cpu", graph);
    checkWeightSizes(written.graph, options.gpu);
    const before = written.before && (await Session.create(written.before, weights, { threads: options.threads }));
    const model = toModelProto(written.graph);
    const { InferenceSession } = onnxRuntime();
    try {
      const session = await InferenceSession.create(model, onnxSessionOptions(options, folder));
      return new Session(session, written.graph, before);
    } catch (cause) {
      await before?.[Symbol.asyncDispose]();
      throw sessionError(cause);
    }
  }

  /**
   * Runs the graph. `symbols` gives the sizes of B, S, r …, `feeds` every input but the
   * shapes. Synchronous inside: call it where no event loop is needed (I10).
   */
  async run(
    symbols: Readonly<Record<string, number>>,
    feeds: ReadonlyMap<string, TensorData>,
  ): Promise<Map<string, Ort.Tensor>> {
    const tensors: Record<string, Ort.Tensor> = {};
    const made = await this.#before?.run(symbols, feeds);
    for (const value of this.#inputs) {
      const ready = made?.get(value.name);
      if (ready) {
        tensors[value.name] = ready;
        continue;
      }
      const shape = this.#shapeInputs.get(value);
      const data = shape
        ? BigInt64Array.from(shape, (dim) => BigInt(evaluateDim(dim, symbols)))
        : feeds.get(value.name);
      if (!data) throw new Error(`input ${value.name} is not fed`);
      const dims = value.shape.map((dim) => evaluateDim(dim, symbols));
      tensors[value.name] = tensorOf(data, dims);
    }
    try {
      return new Map(Object.entries(await this.#session.run(tensors))) as Map<string, Ort.Tensor>;
    } catch (cause) {
      throw sessionError(cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
    await this.#before?.[Symbol.asyncDispose]();
  }
}

function tensorOf(data: TensorData, dims: number[]): Ort.Tensor {
  const ort = onnxRuntime();
  if (data instanceof Float32Array) return new ort.Tensor("float32", data, dims);
  if (data instanceof BigInt64Array) return new ort.Tensor("int64", data, dims);
  return new ort.Tensor("bool", data, dims);
}

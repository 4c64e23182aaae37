import type { AdaptedModule, AdapterTensors } from "@gradpool/adapter";
import { downloadText, type ModelPlaces } from "@gradpool/hub";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { FileProblem, SavedState } from "@gradpool/run-folder";
import { JobThreads, type Bounds } from "@gradpool/threads";
import type { Doing, ModelChoice, ModelJob, ModelValues, OpenedModel } from "./opened-model.js";

type SavedAdapter = Omit<Extract<ModelJob, { kind: "savedAdapter" }>, "kind">;

/** The largest header that is accepted takes less of both. */
const BOUNDS: Bounds = { heapMb: 2048, stuckMs: 30_000 };

/** Models, adapters and checkpoints, whose files are read in threads: a large or bad one holds up no other run (I10). */
export class Models implements AsyncDisposable {
  readonly #places: ModelPlaces;
  readonly #threads: JobThreads;

  constructor(places: ModelPlaces, bounds: Bounds = BOUNDS) {
    this.#places = places;
    this.#threads = new JobThreads({ module: new URL("./model-thread.js", import.meta.url), bounds });
    this.#threads.prepare();
  }

  /** `report` is told what is being done. Errors: those of openModel and float16Weights. */
  open(choice: ModelChoice, signal: AbortSignal, report: (doing: string) => void): Promise<OpenedModel> {
    const work = `reading the model ${choice.modelId}`;
    return this.#run({ kind: "open", choice, places: this.#places }, work, signal, report);
  }

  /** As weightNorms; the weights are those of the model as it is used. */
  norms(
    choice: ModelChoice,
    targets: readonly AdaptedModule[],
    signal: AbortSignal,
  ): Promise<Map<string, Float32Array>> {
    const work = `reading the weights of ${choice.modelId}`;
    return this.#run({ kind: "norms", choice, places: this.#places, targets }, work, signal);
  }

  /** The adapter that a recipe starts from. Errors: those of givenAdapter. */
  adapter(
    lora: CheckedRecipe["lora"],
    targets: readonly AdaptedModule[],
    signal: AbortSignal,
  ): Promise<AdapterTensors> {
    return this.#run(
      { kind: "adapter", lora, places: this.#places, targets },
      `reading the adapter ${lora.initAdapter}`,
      signal,
    );
  }

  /** trainer_state.json at `path`, or what is wrong with it. */
  trainerState(file: Uint8Array, path: string, signal: AbortSignal): Promise<SavedState | FileProblem> {
    return this.#run({ kind: "state", file }, `reading ${path}`, signal);
  }

  /** The adapter of a checkpoint. Errors: those of readAdapter. */
  savedAdapter(saved: SavedAdapter, signal: AbortSignal): Promise<AdapterTensors> {
    return this.#run({ kind: "savedAdapter", ...saved }, `reading ${saved.path}`, signal);
  }

  /** The optimizer's state after `step` steps, and the best adapter. Errors: those of readTrainingState. */
  trainingState(file: Uint8Array, step: number, path: string, signal: AbortSignal): Promise<ModelValues["training"]> {
    return this.#run({ kind: "training", file, step, path }, `reading ${path}`, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }

  #run<K extends ModelJob["kind"]>(
    job: Extract<ModelJob, { kind: K }>,
    work: string,
    signal: AbortSignal,
    report: (doing: string) => void = () => {},
  ): Promise<ModelValues[K]> {
    const onCall = (doing: Doing) =>
      Promise.resolve(report(typeof doing === "string" ? doing : downloadText("the model", doing)));
    return this.#threads.only<ModelValues[K]>(job, { work, signal, onCall });
  }
}

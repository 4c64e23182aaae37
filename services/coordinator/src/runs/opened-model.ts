/** What the files of models and checkpoints say, as runs need it: read in a thread (models.ts). */
import type { AdaptedModule, AdapterTensors } from "@gradpool/adapter";
import type { DownloadProgress, ModelPlaces } from "@gradpool/hub";
import type { ModelSource } from "@gradpool/model-source";
import type { Model } from "@gradpool/models";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { FileProblem, SavedState, TrainingTensors } from "@gradpool/run-folder";

/** Plain data. */
export interface OpenedModel extends Pick<ModelSource, "id" | "dir" | "weightsDir" | "modelHash" | "notes"> {
  model: Pick<Model, "description" | "dropouts">;
}

/** Which model, and how its weights are used. */
export interface ModelChoice {
  modelId: string;
  /** As in a recipe: weights are rounded to float16 before they are used. */
  dtype: string;
}

/** What a thread is asked. */
export type ModelJob =
  | { kind: "open"; choice: ModelChoice; places: ModelPlaces }
  | { kind: "norms"; choice: ModelChoice; places: ModelPlaces; targets: readonly AdaptedModule[] }
  | { kind: "adapter"; lora: CheckedRecipe["lora"]; places: ModelPlaces; targets: readonly AdaptedModule[] }
  | { kind: "state"; file: Uint8Array }
  | { kind: "savedAdapter"; file: Uint8Array; path: string; targets: readonly AdaptedModule[]; r: number }
  | { kind: "training"; file: Uint8Array; path: string; step: number };

/** What it tells meanwhile: a text for people, or how far a download is. */
export type Doing = string | DownloadProgress;

/** Its one value. */
export interface ModelValues {
  open: OpenedModel;
  norms: Map<string, Float32Array>;
  adapter: AdapterTensors;
  state: SavedState | FileProblem;
  savedAdapter: AdapterTensors;
  training: Pick<TrainingTensors, "optimizer" | "best">;
}

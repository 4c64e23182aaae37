/** What a run is prepared with, and what comes of it. */
import type { AdaptedModule, AdapterTensors } from "@gradpool/adapter";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { BaseModel, DatasetSpec, ResumePoint, RunSpec, TokenizerInfo } from "@gradpool/rpc";
import type { OpenedModel } from "./opened-model.js";
import type { Platform } from "./platform.js";
import type { CheckpointSource, Resumed } from "./resume.js";

export interface PreparedRun {
  recipe: CheckedRecipe;
  source: OpenedModel;
  targets: AdaptedModule[];
  /** Scalings of the targets whose own differs from the adapter's. */
  ownScalings: ReadonlyMap<string, number>;
  tokenizer: TokenizerInfo;
  dataset: DatasetSpec;
  datasetHash: string;
  /** Held-out data and its hash; undefined and empty: there is none. */
  evalDataset: DatasetSpec | undefined;
  evalDatasetHash: string;
  rows: number;
  totalSteps: number;
  base: BaseModel;
  /** The adapter before the next step. */
  adapter: AdapterTensors;
  /** The state it resumes from; undefined: it starts at the first step. */
  resumed: Resumed | undefined;
  /** The checkpoint that its spec asked to resume from. */
  resumedFrom: ResumePoint | undefined;
  /** What users should know about its start. */
  notes: string[];
  /** Absolute folder, claimed for the run. */
  outputDir: string;
  trainableParameters: number;
  allParameters: number;
}

/** What a run is prepared with. */
export interface Preparation extends CheckpointSource {
  runId: string;
  /** How often it has changed hands between coordinators; 0: never. */
  ownerEpoch: number;
  spec: RunSpec;
  recipe: CheckedRecipe;
  /** What an earlier preparation found: the run then resumes from what it saved itself. */
  before: Pick<PreparedRun, "rows" | "resumedFrom"> | undefined;
  /** Of the trainers in the pool. */
  platforms: Platform[];
  /** Shows users what is being done. */
  report: (doing: string) => void;
}

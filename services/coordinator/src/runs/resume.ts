/** Resumes a run from a saved checkpoint, bit for bit, or says why it cannot. */
import { basename, dirname } from "node:path";
import type { AdaptedModule, AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import type { AdamWState } from "@gradpool/optim";
import type { CheckedRecipe } from "@gradpool/recipe";
import {
  concat,
  type Checkpoint,
  type Cursor,
  type Evaluation,
  type RowCounts,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import {
  ADAPTER_FILE,
  TRAINER_STATE_FILE,
  TRAINING_STATE_FILE,
  type LossScaling,
  type Receipt,
  type SavedState,
} from "@gradpool/run-folder";
import { bytes } from "@gradpool/format";
import { absoluteOutputDir } from "@gradpool/service-kit";
import type { Services } from "../services.js";
import { availableMemory } from "./memory.js";
import type { Outages } from "./outages.js";
import { differences } from "./receipt.js";
import type { Platform } from "./platform.js";
import { rateAt } from "./learning-rate.js";

/** What a run resumes from. */
export interface Resumed {
  optimizer: AdamWState;
  /** Where the data resumes. */
  cursor: Cursor;
  /** Steps made so far. */
  steps: StepMetrics[];
  rowCounts: RowCounts;
  evaluations: Evaluation[];
  /** The current adapter has to be evaluated. */
  evaluationPending: boolean;
  /** Undefined where the loss is not scaled. */
  lossScaling: LossScaling | undefined;
  /** The adapter of the best evaluation, unless it is the current one. */
  best: AdapterTensors | undefined;
  /** Learning rate of the next step, where it is not the schedule's. */
  nextLearningRate: number | undefined;
  /** Runs that saved what the run resumes from, the first of them first. */
  continuedRunIds: string[];
  /** Of the trainers that made them: no others may continue the run (I2). */
  platform: Platform;
}

export interface LoadedCheckpoint {
  path: string;
  state: SavedState;
  adapterFile: Uint8Array;
  trainingStateFile: Uint8Array;
  /** Newer ones that were skipped. */
  damaged: Checkpoint[];
}

export interface CheckpointSource {
  services: Services;
  outages: Outages;
  signal: AbortSignal;
}

/** The newest checkpoint or recovery point that the run itself saved, or why none can be used. */
export async function loadOwn(
  runId: string,
  outputDir: string,
  from: CheckpointSource,
): Promise<{ loaded?: LoadedCheckpoint; note?: string }> {
  try {
    const loaded = await load({ outputDir, name: "", runId }, from);
    return loaded ? { loaded } : {};
  } catch (error) {
    const { code, message } = GradpoolError.from(error);
    if (code !== "data_loss") throw error;
    return { note: `interrupted; starting from scratch: ${message}` };
  }
}

/** What `resume_from` names, and a note about it for users. Errors: `not_found`, `data_loss`, `invalid_argument`. */
export async function loadNamed(
  { resumeFrom, resumeIfExists, outputDir }: RunSpec,
  from: CheckpointSource,
): Promise<{ loaded?: LoadedCheckpoint; note?: string }> {
  if (resumeFrom === "") return {};
  const isLatest = resumeFrom === "latest";
  const folder = absoluteOutputDir(isLatest ? outputDir : resumeFrom);
  const place = isLatest ? { outputDir: folder, name: "" } : { outputDir: dirname(folder), name: basename(folder) };
  try {
    const loaded = await load({ ...place, runId: "" }, from, !isLatest && !resumeIfExists);
    if (loaded) return { loaded };
  } catch (error) {
    const { code, message } = GradpoolError.from(error);
    if (code !== "not_found") throw error;
    const advice = "give a checkpoint folder, latest, or --resume_if_exists to start from scratch without one";
    throw new GradpoolError("not_found", `resume_from: ${message}; ${advice}`, { cause: error });
  }
  const what = isLatest ? `there is no checkpoint in ${folder}` : `there is no checkpoint ${folder}`;
  return { note: `${what}; starting from scratch` };
}

/** Undefined when there is none, unless it `mustExist`. */
async function load(
  place: { outputDir: string; name: string; runId: string },
  { services, outages, signal }: CheckpointSource,
  mustExist = false,
): Promise<LoadedCheckpoint | undefined> {
  const request = { ...place, paths: [ADAPTER_FILE, TRAINING_STATE_FILE, TRAINER_STATE_FILE] };
  try {
    return await outages.waitOut("checkpoint-store", () => collect(services, request, signal), signal);
  } catch (error) {
    if (GradpoolError.from(error).code === "not_found" && !mustExist) return undefined;
    throw error;
  }
}

async function collect(
  services: Services,
  request: { outputDir: string; name: string; runId: string; paths: string[] },
  signal: AbortSignal,
): Promise<LoadedCheckpoint> {
  const pieces = new Map<string, Uint8Array[]>();
  const availableBytes = availableMemory();
  let receivedBytes = 0;
  let name = "";
  let damaged: Checkpoint[] = [];
  for await (const piece of services.checkpointStore.load(request, { signal })) {
    name ||= piece.name;
    if (piece.damaged.length > 0) damaged = piece.damaged;
    receivedBytes += piece.data.byteLength;
    if (receivedBytes > availableBytes) throw tooLarge(`${request.outputDir}/${name}`, availableBytes);
    const before = pieces.get(piece.path);
    if (before) before.push(piece.data);
    else pieces.set(piece.path, [piece.data]);
  }
  signal.throwIfAborted();
  const path = `${request.outputDir}/${name}`;
  const file = (wanted: string) => concat(pieces.get(wanted) ?? []);
  const statePath = `${path}/${TRAINER_STATE_FILE}`;
  const state = await services.models.trainerState(file(TRAINER_STATE_FILE), statePath, signal);
  if (typeof state === "string") {
    throw new GradpoolError("data_loss", `${path} cannot be used: ${state}; resume from another checkpoint`);
  }
  return { path, state, adapterFile: file(ADAPTER_FILE), trainingStateFile: file(TRAINING_STATE_FILE), damaged };
}

function tooLarge(path: string, availableBytes: number): GradpoolError {
  const problem = `${path} has more bytes than the coordinator's memory, which has ${bytes(availableBytes)} left`;
  return new GradpoolError("resource_exhausted", `${problem}; resume from another checkpoint`);
}

export function adapterFrom(
  { adapterFile, path }: LoadedCheckpoint,
  targets: AdaptedModule[],
  r: number,
  { services, signal }: CheckpointSource,
): Promise<AdapterTensors> {
  return services.models.savedAdapter({ file: adapterFile, path: `${path}/${ADAPTER_FILE}`, targets, r }, signal);
}

/**
 * The state of run `runId` at the checkpoint. `receipt`: what is known of this run; `totalSteps`: its steps, which may be
 * more than the checkpoint's run was to make. Errors: `failed_precondition`, naming each difference, when the checkpoint
 * does not match.
 */
export async function resumeAt(
  { path, state, trainingStateFile }: LoadedCheckpoint,
  { runId, recipe, services, signal }: CheckpointSource & { runId: string; recipe: CheckedRecipe },
  receipt: Receipt,
  totalSteps: number,
): Promise<Resumed> {
  const mayDiffer = totalSteps > state.totalSteps ? LENGTH : [];
  const found = differences(state, recipe, receipt, mayDiffer);
  if (found.length > 0) {
    const advice = "make them the same, or give --resume_weights_only to take its adapter alone";
    throw new GradpoolError("failed_precondition", `cannot resume from ${path}: ${found.join("; ")}; ${advice}`);
  }
  const { step, cursor, steps, rowCounts, evaluations, evaluationPending, lossScaling } = state;
  const optimizerSteps = step - (lossScaling?.skippedSteps.length ?? 0);
  const longer = totalSteps > state.totalSteps;
  const continued = [...state.continuedRunIds, state.runId].filter((other) => other !== runId);
  const trainingPath = `${path}/${TRAINING_STATE_FILE}`;
  return {
    ...(await services.models.trainingState(trainingStateFile, optimizerSteps, trainingPath, signal)),
    ...{ cursor, steps, rowCounts, evaluations, evaluationPending, lossScaling },
    nextLearningRate: longer ? rateAt(recipe, optimizerSteps, state.totalSteps) : state.nextLearningRate,
    continuedRunIds: [...new Set(continued)],
    platform: { deviceClass: state.receipt.device_class, version: state.receipt.runtime },
  };
}

/** What a run may change to make more steps. */
const LENGTH = ["epochs", "max_steps"];

/**
 * A note for a run that makes more steps than the checkpoint's run was to make. As transformers' Trainer
 * does with a larger num_train_epochs, the schedule is that of all steps, but the next step still has the learning rate
 * that the optimizer was saved with, the old schedule's.
 */
export function longerNotes({ state }: LoadedCheckpoint, recipe: CheckedRecipe, totalSteps: number): string[] {
  const { step, lossScaling, totalSteps: before } = state;
  if (totalSteps <= before) return [];
  const optimizerSteps = step - (lossScaling?.skippedSteps.length ?? 0);
  const isSame = (i: number) => rateAt(recipe, i, before) === rateAt(recipe, i, totalSteps);
  if (Array.from({ length: optimizerSteps + 1 }, (_, i) => i).every(isSame)) return [];
  const rate = rateAt(recipe, optimizerSteps, before);
  return [
    `it makes ${totalSteps} steps instead of ${before}: as in transformers, step ${step + 1} still has the old ` +
      `schedule's learning rate, ${rate}; the result differs from ${totalSteps} steps from the start`,
  ];
}

/** A line for each damaged checkpoint that was skipped. */
export const damageNotes = ({ damaged, path }: LoadedCheckpoint): string[] =>
  damaged.map((found) => `${found.path} is damaged (${found.damage}); using ${basename(path)} instead`);

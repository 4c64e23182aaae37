/** What an output folder's files and folders are called. */
import { GradpoolError } from "@gradpool/errors";

/** Of a checkpoint: it exists when this file does (I5). */
export const MANIFEST_FILE = "manifest.json";
/** Which run has the output folder. */
export const LOCK_FILE = ".gradpool.lock";
export const ADAPTER_CONFIG_FILE = "adapter_config.json";
export const ADAPTER_FILE = "adapter_model.safetensors";
export const MODEL_CARD_FILE = "README.md";
export const TRAINING_STATE_FILE = "training_state.safetensors";
export const TRAINER_STATE_FILE = "trainer_state.json";
export const METRICS_FILE = "metrics.json";

const CHECKPOINT = /^(?:checkpoint|\.recovery)-epoch(\d{1,10})-step(\d{1,10})$/;
const MAX_NAME_BYTES = 255;
const MAX_UINT32 = 0xffffffff;

/** A point in training: steps made, and the epoch of the last one. */
export interface Place {
  epoch: number;
  step: number;
}

/** Of a checkpoint that a recipe asks for. */
export const checkpointName = ({ epoch, step }: Place): string => `checkpoint-epoch${epoch}-step${step}`;

/** Of a recovery point: what a run resumes from after a crash, and nothing else. */
export const recoveryName = ({ epoch, step }: Place): string => `.recovery-epoch${epoch}-step${step}`;

/** Checkpoints that a recipe asks for, and recovery points. */
export function isCheckpointName(name: string): boolean {
  return CHECKPOINT.test(name);
}

export function isRecoveryName(name: string): boolean {
  return name.startsWith(".") && isCheckpointName(name);
}

/** What a checkpoint's name says of its place in training; 0 and 0 for other names. */
export function placeOf(name: string): Place {
  const [, epoch = "0", step = "0"] = CHECKPOINT.exec(name) ?? [];
  return { epoch: Math.min(Number(epoch), MAX_UINT32), step: Math.min(Number(step), MAX_UINT32) };
}

/** The checkpoints among the names in a folder, recovery points included, the one with most steps first. */
export function newestByName(names: readonly string[]): string[] {
  const checkpoints = names.filter(isCheckpointName).map((name) => ({ name, ...placeOf(name) }));
  checkpoints.sort((a, b) => b.step - a.step || b.epoch - a.epoch);
  return checkpoints.map(({ name }) => name);
}

/** Errors: `invalid_argument`. */
export function checkCheckpointName(name: string): void {
  if (isCheckpointName(name)) return;
  throw invalid(`${JSON.stringify(name)} is not a checkpoint's name; it must look like checkpoint-epoch0-step10`);
}

/**
 * A file's name must be one plain, printable name: no folder, nothing hidden, nothing that the folder itself uses.
 * Errors: `invalid_argument`.
 */
export function checkFileName(path: string): void {
  const plain = path !== "" && !/[/\\\p{Cc}]/u.test(path) && !path.startsWith(".");
  const free = path !== MANIFEST_FILE && !isCheckpointName(path) && Buffer.byteLength(path) <= MAX_NAME_BYTES;
  if (plain && free) return;
  const shown = JSON.stringify(path.slice(0, MAX_NAME_BYTES));
  throw invalid(`${shown} cannot be a file's name; use a plain one without a folder, such as adapter_config.json`);
}

/** What results consist of: an output folder may be any folder, and other files in it are not a run's to replace. */
const RESULT = /^(?:[\w.-]+\.(?:json|safetensors|md|txt|png|svg|jinja|model)|events\.out\.tfevents\.[\w.-]+)$/;

/** Errors: `invalid_argument` for a file that is not part of a result; those of checkFileName. */
export function checkResultFileName(path: string): void {
  checkFileName(path);
  if (RESULT.test(path)) return;
  throw invalid(`${JSON.stringify(path)} is not a file of a result; save it with a checkpoint, or as .json or .txt`);
}

function invalid(message: string): GradpoolError {
  return new GradpoolError("invalid_argument", message);
}

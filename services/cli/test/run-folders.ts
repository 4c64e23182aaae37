/** Output folders as runs leave them, without the training. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface FolderOptions {
  runId?: string;
  runName?: string;
  /** One for each step. */
  losses?: readonly (number | null)[];
  evaluations?: readonly { step: number; loss: number }[];
  learningRate?: number;
  r?: number;
  /** SHA-256 of the data, as its receipt has it. */
  datasetHash?: string;
  /** It has only its checkpoint, not metrics.json. */
  isUnfinished?: boolean;
}

export async function writeRunFolder(folder: string, given: FolderOptions = {}): Promise<string> {
  const { runId = "run-1", losses = [4, 3, 2], evaluations = [], learningRate = 1e-3, r = 8 } = given;
  const recipe = { epochs: 1, learning_rate: learningRate, lora: { r, alpha: 32, dropout: 0.05, use_rslora: false } };
  const steps = losses.map((loss, i) => {
    return { step: i + 1, epoch: 0, loss, grad_norm: 1, learning_rate: learningRate, tokens: 100 };
  });
  const name = `checkpoint-epoch0-step${losses.length}`;
  await mkdir(join(folder, name), { recursive: true });
  const data = { dataset: ["/d"], dataset_hash: given.datasetHash ?? "cc" };
  const receipt = { model: "aa", tokenizer: "bb", ...data, device_class: "cpu-x64", runtime: "ORT" };
  const place = { epoch: 0, step: losses.length, total_steps: Math.max(1, losses.length), cursor: {} };
  const made = { recipe, receipt, steps, evaluations };
  const state = { ...place, ...made, run: { run_id: runId, seconds: losses.map(() => 0.5) } };
  await writeFile(join(folder, name, "trainer_state.json"), JSON.stringify(state));
  if (given.isUnfinished) return folder;
  const timed = steps.map((step) => ({ ...step, seconds: 0.5 }));
  const named = { run_id: runId, run_name: given.runName };
  const metrics = { ...named, model_id: "/m", dataset: ["/d"], recipe, steps: timed, evaluations, totals: {} };
  await writeFile(join(folder, "metrics.json"), JSON.stringify(metrics));
  return folder;
}

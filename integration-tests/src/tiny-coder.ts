import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import type { LoraRecipe, Recipe, RunSpec } from "@gradpool/rpc";

export const TINY_CODER = fileURLToPath(new URL("../../../models/tiny-coder", import.meta.url));

/** A folder for a test's files, removed when disposed. */
export class Workspace implements AsyncDisposable {
  private constructor(readonly dir: string) {}

  static async create(): Promise<Workspace> {
    return new Workspace(await mkdtemp(join(tmpdir(), "gradpool-test-")));
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** A data set of made-up code rows of different lengths. */
  async dataset(rows: number): Promise<string> {
    const file = this.path(`rows-${rows}.jsonl`);
    const row = (i: number) =>
      `def f${i}(x):\n` +
      Array.from({ length: i % 7 }, (_, k) => `    x = x * ${k + i} + ${i}\n`).join("") +
      "    return x\n";
    await writeFile(file, Array.from({ length: rows }, (_, i) => `${JSON.stringify({ content: row(i) })}\n`).join(""));
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** A run on models/tiny-coder: dropout on, few steps, whose micro-batches several trainers share. */
export function tinyRun(
  dataset: string,
  outputDir: string,
  changes: Partial<Recipe> = {},
  lora: Partial<LoraRecipe> = {},
): RunSpec {
  const recipe = defaultRecipe();
  return {
    modelId: TINY_CODER,
    dataset: [dataset],
    outputDir,
    ...NEW_START,
    recipe: {
      ...recipe,
      epochs: 1,
      maxLength: 64,
      learningRate: 1e-3,
      passTokens: 0,
      ...changes,
      lora: { ...(recipe.lora as LoraRecipe), ...lora },
    },
  };
}

const sha256 = async (file: string) =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");

/** SHA-256 of a result's adapter and of the last checkpoint's Adam state, and the losses as recorded. */
export async function fingerprint(outputDir: string) {
  const checkpoints = (await readdir(outputDir)).filter((name) => name.startsWith("checkpoint-"));
  const newest = checkpoints.sort((a, b) => stepOf(a) - stepOf(b)).at(-1) ?? "no checkpoint";
  const metrics = JSON.parse(await readFile(join(outputDir, "metrics.json"), "utf8")) as {
    steps: { loss: number; grad_norm: number }[];
    evaluations?: { step: number; loss: number }[];
  };
  return {
    adapter: await sha256(join(outputDir, "adapter_model.safetensors")),
    adamState: await sha256(join(outputDir, newest, "training_state.safetensors")),
    losses: metrics.steps.map(({ loss, grad_norm: gradNorm }) => [loss, gradNorm]),
    evaluations: metrics.evaluations?.map(({ step, loss }) => [step, loss]),
  };
}

const stepOf = (checkpoint: string) => Number(/step(\d+)$/.exec(checkpoint)?.[1]);

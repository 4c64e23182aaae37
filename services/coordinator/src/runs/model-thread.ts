/** A thread that reads the files of models, adapters and checkpoints: they may be anybody's, and large. */
import { readAdapter } from "@gradpool/adapter";
import { float16Weights, openModel, weightNorms, type ModelSource } from "@gradpool/model-source";
import { parseTrainerState, readTrainingState } from "@gradpool/run-folder";
import { serveJobs, type JobContext } from "@gradpool/threads";
import type { Doing, ModelJob, ModelValues, OpenedModel } from "./opened-model.js";

async function* run(job: ModelJob, context: JobContext): AsyncGenerator<ModelValues[ModelJob["kind"]]> {
  switch (job.kind) {
    case "open":
      yield described(await open(job, context));
      return;
    case "norms":
      yield await weightNorms(await open(job, context), job.targets);
      return;
    case "adapter": {
      // Few runs need what it loads.
      const { givenAdapter } = await import("./given-adapter.js");
      yield await givenAdapter(job.lora, job.targets, job.places.roots);
      return;
    }
    case "state":
      yield parseTrainerState(job.file);
      return;
    case "savedAdapter":
      yield readAdapter(job.file, job.targets, job.r, job.path);
      return;
    case "training":
      yield readTrainingState(job.file, job.step, job.path);
  }
}

async function open(
  { choice: { modelId, dtype }, places }: Extract<ModelJob, { kind: "open" | "norms" }>,
  { signal, call }: JobContext,
): Promise<ModelSource> {
  const report = (doing: Doing) => void call(doing);
  const source = await openModel(modelId, places, { signal, onProgress: report });
  if (dtype !== "float16") return source;
  report("rounding the model's weights to float16");
  return float16Weights(source, places.cacheDir);
}

function described({ id, dir, weightsDir, modelHash, notes, model }: ModelSource): OpenedModel {
  const { description, dropouts } = model;
  return { id, dir, weightsDir, modelHash, notes, model: { description, dropouts } };
}

serveJobs(run);

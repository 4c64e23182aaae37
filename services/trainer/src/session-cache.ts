import { setTimeout as delay } from "node:timers/promises";
import type { AdaptedModule } from "@gradpool/adapter";
import { GradpoolError, isTooManyOpenFiles } from "@gradpool/errors";
import { type ModelPlaces } from "@gradpool/hub";
import { float16Weights, openModel, type ModelSource } from "@gradpool/model-source";
import type { TrainingOptions } from "@gradpool/models";
import type { BaseModel } from "@gradpool/rpc";
import { LossSession, TrainingSession, type Base, type SessionOptions } from "@gradpool/runtime";

/** Sessions kept, each with a copy of its base's weights; the least recently used is released first. */
export const MAX_SESSIONS = 2;

/** A trainer that can open no file tries this often before it fails the task, which a few failures end. */
const OPEN_ATTEMPTS = 30;
const OPEN_PAUSE_MS = 1_000;

/** Variants of a base besides its targets. */
export interface BaseVariant {
  /** Whether the adapter is DoRA. */
  useDora: boolean;
  /** "float16": the weights are rounded to it and stay float16 in memory. */
  dtype: string;
  /** Rows hold several documents, which do not see each other. */
  documents: boolean;
}

const PLAIN: BaseVariant = { useDora: false, dtype: "float32", documents: false };

export interface LoadedBase<S extends TrainingSession | LossSession = TrainingSession> {
  session: S;
  source: ModelSource;
  targets: AdaptedModule[];
}

export interface SessionCacheOptions {
  /** Where and how its sessions compute. */
  session: SessionOptions;
  /** Where models are looked for and kept. */
  models: ModelPlaces;
  onLoading: (modelId: string) => void;
  onLoaded: (modelId: string, seconds: number) => void;
}

/**
 * One session per base, targets, pad row, variant and training options, for every run, rank, batch size and
 * length (I9), and one for evaluations, which computes no gradient. Use it from one caller at a time: a
 * session may be released by the next `get`.
 */
export class SessionCache implements AsyncDisposable {
  /** By key, least recently used first. */
  readonly #loaded = new Map<string, LoadedBase<TrainingSession | LossSession>>();

  constructor(private readonly options: SessionCacheOptions) {}

  /**
   * Errors: those of openModel; `failed_precondition` when the folder's model is not the one that `base` names
   * or lacks one of its modules; `resource_exhausted` when there is too little memory.
   */
  get(base: BaseModel, training: Required<TrainingOptions>, variant = PLAIN): Promise<LoadedBase> {
    const { dropout, modelDropout, gradientCheckpointing, basePrecision } = training;
    const options = { ...this.options.session, ...training, cacheDir: this.options.models.cacheDir };
    return this.#get(base, variant, [dropout, modelDropout, gradientCheckpointing, basePrecision], (graph) =>
      TrainingSession.create(graph, options),
    );
  }

  /** As `get`, for losses without gradients. */
  getForLoss(base: BaseModel, variant = PLAIN): Promise<LoadedBase<LossSession>> {
    return this.#get(base, variant, "loss", (graph) => LossSession.create(graph, this.options.session));
  }

  /** `kind` of sessions that `create` makes. */
  async #get<S extends TrainingSession | LossSession>(
    base: BaseModel,
    { useDora, dtype, documents }: BaseVariant,
    kind: readonly (boolean | string)[] | string,
    create: (graph: Base) => Promise<S>,
  ): Promise<LoadedBase<S>> {
    const { modelId, modelHash, targetModules, padRow } = base;
    const keepHalves = dtype === "float16";
    const key = JSON.stringify([modelId, modelHash, targetModules, padRow, useDora, keepHalves, documents, kind]);
    const known = this.#loaded.get(key);
    if (known) {
      this.#loaded.delete(key);
      this.#loaded.set(key, known);
      return known as LoadedBase<S>;
    }
    const opened = await onceFilesCanBeOpened(() => openModel(base.modelId, this.options.models));
    checkHash(base, opened);
    const source = keepHalves ? await float16Weights(opened, this.options.models.cacheDir) : opened;
    const targets = modulesOf(base, source, useDora);
    // Before the new one allocates memory.
    while (this.#loaded.size >= MAX_SESSIONS) await this.#releaseOldest();
    this.options.onLoading(base.modelId);
    const startedAt = performance.now();
    const session = await create({ source, targets, padRow, keepHalves, documents });
    this.options.onLoaded(base.modelId, (performance.now() - startedAt) / 1000);
    const loaded = { session, source, targets };
    this.#loaded.set(key, loaded);
    return loaded;
  }

  /**
   * Releases a session that ran out of a GPU's memory: others may need what it holds, and ONNX Runtime keeps buffers
   * that were not made, weights among them, and uses them again.
   */
  async release(session: TrainingSession | LossSession): Promise<void> {
    for (const [key, loaded] of this.#loaded) if (loaded.session === session) this.#loaded.delete(key);
    await session[Symbol.asyncDispose]();
  }

  async #releaseOldest(): Promise<void> {
    for (const [key, { session }] of this.#loaded) {
      this.#loaded.delete(key);
      return session[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#loaded.size > 0) await this.#releaseOldest();
  }
}

async function onceFilesCanBeOpened<T>(open: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open();
    } catch (error) {
      if (!isTooManyOpenFiles(GradpoolError.from(error)) || attempt === OPEN_ATTEMPTS) throw error;
      await delay(OPEN_PAUSE_MS);
    }
  }
}

function checkHash({ modelId, modelHash }: BaseModel, source: ModelSource): void {
  if (source.modelHash === modelHash) return;
  const what = `${modelId} changed since the run was submitted, or differs on the trainer's machine`;
  throw new GradpoolError(
    "failed_precondition",
    `model_id: ${what}; put the same files there, or submit the run again`,
  );
}

function modulesOf({ modelId, targetModules }: BaseModel, source: ModelSource, useDora: boolean): AdaptedModule[] {
  if (targetModules.length === 0) {
    throw new GradpoolError("invalid_argument", "target_modules is empty; name at least one");
  }
  const modules = new Map(source.model.description.modules.map((module) => [module.name, module]));
  return targetModules.map((name) => {
    const module = modules.get(name);
    if (module) return { ...module, useDora };
    throw new GradpoolError("failed_precondition", `target_modules: ${modelId} has no ${name}; submit the run again`);
  });
}

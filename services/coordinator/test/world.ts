/** A coordinator among real services, on ports and folders of its own. */
import { fork, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { modelPlaces } from "@gradpool/hub";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import {
  createClient,
  EventServiceService,
  PoolServiceService,
  RunServiceService,
  type CheckpointUpdate,
  type Client,
  type Evaluation,
  type Recipe,
  type Run,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import { createLogger, type Service as Running } from "@gradpool/service-kit";
import { startCoordinator as start } from "../src/coordinator.js";
import type { MlflowSettings } from "../src/reports/mlflow-client.js";
import { Charts } from "../src/runs/charts.js";
import { Models } from "../src/runs/models.js";
import { DEFAULT_LEASES, type Leases } from "../src/trainer-pool.js";
import { ByteTokenizer } from "./byte-tokenizer.js";
import { key, keyed } from "./key.js";
import { FakeTrainer, type FakeTrainerOptions } from "./fake-trainer.js";

const fail = () => {
  throw new Error("the coordinator crashed");
};
const NO_CACHE = modelPlaces({ GRADPOOL_HOME: join(tmpdir(), "gradpool-no-cache"), HF_HUB_OFFLINE: "1" });
const log = createLogger("coordinator", { GRADPOOL_LOG_LEVEL: "silent" });

export const GOLDEN = fileURLToPath(new URL("../../../../integration-tests/fixtures/golden/", import.meta.url));
/** 512 tokens, 128 positions. */
export const MODEL = join(GOLDEN, "gpt2-plain", "model");

export interface Service {
  address: string;
  child: ChildProcess;
}

/** Starts a service of this repository as a process. */
export async function startService(name: string, env: Record<string, string>): Promise<Service> {
  const main = fileURLToPath(new URL(`../../../${name}/dist/bin/main.js`, import.meta.url));
  const child = fork(main, {
    env: { ...process.env, GRADPOOL_LOG_LEVEL: "silent", GRADPOOL_KEY: key.reveal(), ...env },
    stdio: "inherit",
  });
  const [message] = (await once(child, "message")) as [{ type: string; address: string }];
  if (message.type !== "ready") throw new Error(`${name} did not start`);
  return { address: message.address, child };
}

/** As a power cut. */
export async function kill({ child }: Service): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** What a coordinator needs around it. */
interface Surroundings {
  tokenizer: ByteTokenizer;
  dataStream: Service;
  store: Service;
}

async function startSurroundings(): Promise<Surroundings> {
  const tokenizer = await ByteTokenizer.start();
  const [dataStream, store] = await Promise.all([
    startService("data-stream", { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address }),
    startService("checkpoint-store", {}),
  ]);
  return { tokenizer, dataStream, store };
}

async function endSurroundings({ tokenizer, dataStream, store }: Surroundings): Promise<void> {
  await Promise.all([tokenizer[Symbol.asyncDispose](), kill(dataStream), kill(store)]);
}

let shared: Promise<Surroundings> | undefined;
after(async () => shared && endSurroundings(await shared));

/** Threads take longer to start than these runs do to be trained. */
const sharedCharts = new Charts();
let sharedModels: Models | undefined;
after(() => sharedModels?.[Symbol.asyncDispose]());

export interface WorldOptions {
  leases?: Leases;
  charts?: Charts;
  /** Of recovery points; 0, unless given: none. */
  recoveryMs?: number;
  /** File of the run store; see `durableWorld`. */
  runStore?: string;
  /** How long runs are kept that have ended; for ever unless given. */
  keepRunsMs?: number;
  /** The server for reports; none unless given. */
  mlflow?: MlflowSettings;
  /** Services that no other test uses, so that this one may end and change them. */
  ownServices?: boolean;
}

export type RecipeChanges = Partial<Omit<Recipe, "lora">> & { lora?: Partial<Recipe["lora"]> };

/** How a run went, as a watcher saw it. */
export interface Ended {
  run: Run;
  steps: StepMetrics[];
  evaluations: Evaluation[];
  checkpoints: CheckpointUpdate[];
}

/** A fake trainer says nothing while it has nothing to do, however long a busy machine takes for the rest. */
const PATIENT: Leases = { ...DEFAULT_LEASES, leaseMs: 600_000 };

function startCoordinator(listen: string, services: Surroundings, options: WorldOptions): Promise<Running> {
  const {
    leases = PATIENT,
    recoveryMs = 0,
    runStore,
    keepRunsMs,
    charts = sharedCharts,
    mlflow = "there is no server",
  } = options;
  const config = {
    ...{ listen, recoveryMs, runStore, keepRunsMs, mlflow, drainMs: 0, models: NO_CACHE, leaseMs: 5_000 },
    tokenizerAddress: services.tokenizer.address,
    dataStreamAddress: services.dataStream.address,
    checkpointStoreAddress: services.store.address,
  };
  const models = (sharedModels ??= new Models({ ...NO_CACHE, roots: undefined }));
  return start(config, log, { access: { key }, leases, charts, models, onCrash: fail });
}

export class World implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "gradpool-coordinator-"));
  readonly services: Surroundings;
  #coordinator: Running;
  readonly runs: Client<RunServiceService>;
  readonly pool: Client<PoolServiceService>;
  readonly events: Client<EventServiceService>;
  readonly #trainers: FakeTrainer[] = [];
  #names = 0;

  readonly #options: WorldOptions;

  private constructor(services: Surroundings, coordinator: Running, options: WorldOptions) {
    this.services = services;
    this.#coordinator = coordinator;
    this.runs = createClient(RunServiceService, coordinator.address, keyed);
    this.pool = createClient(PoolServiceService, coordinator.address, keyed);
    this.events = createClient(EventServiceService, coordinator.address, keyed);
    this.#options = options;
  }

  get coordinator(): Running {
    return this.#coordinator;
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const services = await (options.ownServices ? startSurroundings() : (shared ??= startSurroundings()));
    return new World(services, await startCoordinator("127.0.0.1:0", services, options), options);
  }

  /**
   * Stops the coordinator, and starts it again at the same address; `meanwhile` runs while it is down. Trainers have to
   * rejoin.
   */
  async restartCoordinator(meanwhile: () => Promise<void> | void = () => {}): Promise<void> {
    const { address } = this.#coordinator;
    await Promise.all(this.#trainers.splice(0).map((trainer) => trainer.kill()));
    await this.#coordinator[Symbol.asyncDispose]();
    await meanwhile();
    this.#coordinator = await startCoordinator(address, this.services, this.#options);
  }

  async trainer(options: FakeTrainerOptions = {}): Promise<FakeTrainer> {
    const trainerId = options.trainerId ?? `trainer-${++this.#names}`;
    const trainer = await FakeTrainer.join(this.coordinator.address, { ...options, trainerId });
    this.#trainers.push(trainer);
    return trainer;
  }

  /** A file of rows, whose lengths differ; one that is there already is left alone, since runs may be reading it. */
  rows(count: number, name = "rows.jsonl"): string {
    const path = join(this.folder, name);
    const lines = Array.from({ length: count }, (_, i) => {
      return JSON.stringify({ content: `row ${i} ${"of some words ".repeat(i % 4)}` });
    });
    const content = `${lines.join("\n")}\n`;
    if (!existsSync(path) || readFileSync(path, "utf8") !== content) writeFileSync(path, content);
    return path;
  }

  outputDir(name = "output"): string {
    return join(this.folder, name);
  }

  output(...path: string[]): Buffer {
    return readFileSync(join(this.folder, ...path));
  }

  has(...path: string[]): boolean {
    return existsSync(join(this.folder, ...path));
  }

  /** 7 rows in micro-batches of 2 and steps of 3, so that nothing divides; none are joined, so that trainers share a step. */
  spec(changes: Partial<Omit<RunSpec, "recipe">> = {}, recipe: RecipeChanges = {}): RunSpec {
    const standard = defaultRecipe();
    const lora = { ...standard.lora, r: 2, ...recipe.lora } as Recipe["lora"];
    return {
      modelId: MODEL,
      dataset: [this.rows(7)],
      outputDir: this.outputDir(),
      ...NEW_START,
      ...changes,
      recipe: { ...standard, epochs: 2, gradientAccumulation: 3, maxLength: 64, passTokens: 0, ...recipe, lora },
    };
  }

  async submit(spec: RunSpec): Promise<string> {
    const { run } = await this.runs.submitRun({ requestId: randomUUID(), spec });
    if (!run) throw new Error("no run");
    return run.runId;
  }

  /** Follows a run until `enough`, or its end. */
  async watch(runId: string, enough: (seen: Ended) => boolean = () => false): Promise<Ended> {
    let seen: Ended | undefined;
    for await (const { update } of this.runs.watchRun({ runId, afterStep: 0 })) {
      if (update?.$case === "run") seen = { steps: [], evaluations: [], checkpoints: [], ...seen, run: update.value };
      if (update?.$case === "step") seen?.steps.push(update.value);
      if (update?.$case === "evaluation") seen?.evaluations.push(update.value);
      if (update?.$case === "checkpoint") seen?.checkpoints.push(update.value);
      if (seen && enough(seen)) break;
    }
    if (!seen) throw new Error("the watcher saw nothing");
    return seen;
  }

  async train(spec: RunSpec): Promise<Ended> {
    return this.watch(await this.submit(spec));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#trainers.map((trainer) => trainer[Symbol.asyncDispose]()));
    this.runs.close();
    this.pool.close();
    this.events.close();
    await this.coordinator[Symbol.asyncDispose]();
    if (this.#options.ownServices) await endSurroundings(this.services);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A world whose coordinator may be started again, and that saves a recovery point after each step. */
export async function durableWorld(options: WorldOptions = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-run-store-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return World.start({ runStore: join(folder, "runs.sqlite"), recoveryMs: 1e-3, ...options });
}

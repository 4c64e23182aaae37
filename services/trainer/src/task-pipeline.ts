/**
 * The tasks of one conversation with a coordinator. One computes while the next one's adapter is
 * fetched and the previous one's result is pushed, so that transfers overlap computing. Conversations share the device.
 */
import { GradpoolError } from "@gradpool/errors";
import { LoraRecipe, Recipe, type MicroBatchTask, type ResultHeader, type TaskFailed } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import type { AdapterCache } from "./adapter-cache.js";
import type { ComputeResult, ComputeTask } from "./compute-messages.js";
import type { Computing, DeviceQueue, DeviceUser } from "./device-queue.js";
import { isPermanent, taskFailure } from "./task-failure.js";
import { TaskTrace } from "./task-trace.js";

/** Tasks held at a time: one that computes and one that waits. */
export const MAX_TASKS = 2;
/** While other coordinators have tasks here: one is computed while the other's is fetched, and none waits long. */
const SHARED_TASKS = 1;

export type Result = Omit<ResultHeader, "trainerId" | "gradientBytes">;

export interface PipelineOptions {
  log: Logger;
  adapters: AdapterCache;
  device: DeviceQueue;
  /** What other coordinators have for the device has changed. */
  onOthers: () => void;
  compute: (task: ComputeTask) => Promise<ComputeResult>;
  /** True when the result was accepted. */
  push: (result: Result, gradients: Uint8Array) => Promise<boolean>;
  /** Called with the number of further tasks there is room for. */
  pull: (tasks: number) => void;
  fail: (failure: TaskFailed) => void;
}

interface Held {
  task: MicroBatchTask;
  arrivedAt: number;
  /** Its adapter's id in the compute thread. */
  adapterId: Promise<number>;
  /** Its adapter has arrived, or could not be fetched. */
  isReady: boolean;
  /** From its arrival until its adapter had arrived. */
  fetchMs: number;
  /** Cancelled: neither computed nor pushed. */
  dropped: boolean;
  trace: TaskTrace;
}

export class TaskPipeline implements DeviceUser {
  #waiting: Held[] = [];
  #current: Held | undefined;
  #isComputing = false;
  #working: Promise<void> = Promise.resolve();
  /** The result being pushed; the next one waits for it, so that at most two are in memory. Never rejects. */
  #pushing: Promise<void> = Promise.resolve();
  /** Tasks that the coordinator may still send. */
  #pulled = 0;
  #stopped = false;

  constructor(private readonly options: PipelineOptions) {
    options.device.join(this);
    this.#pull();
  }

  /** The task being computed; empty: none. */
  get computingTaskId(): string {
    return this.#isComputing ? (this.#current?.task.taskId ?? "") : "";
  }

  /** None while the coordinator does not take the previous results. */
  get load(): number {
    if (this.#isComputing) return this.#waiting.length + 1;
    return this.#current ? 0 : this.#waiting.length;
  }

  /** Whether a task could be computed and waits for the device. */
  get isWaiting(): boolean {
    return !this.#current && this.#waiting[0]?.isReady === true;
  }

  accept(task: MicroBatchTask): void {
    if (this.#stopped) return this.#giveBack(task.taskId);
    if (this.#held >= MAX_TASKS) {
      const message = `the trainer was sent more than the ${MAX_TASKS} tasks it has room for; give it to another`;
      return this.options.fail(taskFailure(task.taskId, new GradpoolError("resource_exhausted", message), false));
    }
    const trace = new TaskTrace(task);
    const adapterId = trace.within(() => this.options.adapters.get(task.runId, task.adapterVersion));
    const arrivedAt = performance.now();
    const held: Held = { task, arrivedAt, adapterId, isReady: false, fetchMs: 0, dropped: false, trace };
    const ready = () => {
      held.isReady = true;
      this.options.device.changed(this);
    };
    // Its failure is handled at the task's turn, which may be later.
    adapterId.then(() => {
      held.fetchMs = performance.now() - held.arrivedAt;
      ready();
    }, ready);
    this.#pulled = Math.max(0, this.#pulled - 1);
    this.#waiting.push(held);
    this.options.device.changed(this);
  }

  /** The next one is begun once the previous result is on its way: at most two results are in memory. */
  begin(): Computing | undefined {
    const [held] = this.#waiting;
    if (this.#current || !held?.isReady) return undefined;
    this.#waiting.shift();
    this.#current = held;
    const computed = held.trace.within(() => this.#compute(held));
    this.#working = computed.then((result) => held.trace.within(() => this.#deliver(held, result)));
    return { computed, longestTurnMs: held.task.longestTurnMs };
  }

  othersChanged(): void {
    this.#pull();
    this.options.onOthers();
  }

  /** Drops a waiting task, or the result of the current one. */
  cancel(taskId: string): void {
    this.#drop(({ task }) => task.taskId === taskId);
  }

  /** Drops a run's tasks and adapters. */
  endRun(runId: string): void {
    this.#drop(({ task }) => task.runId === runId);
    this.options.adapters.dropRun(runId);
  }

  /** Accepts no further tasks and returns the waiting one; resolves when the last result is pushed. */
  async finish(): Promise<void> {
    this.#stopped = true;
    for (const { task } of this.#waiting.splice(0)) this.#giveBack(task.taskId);
    await this.#working;
    await this.#pushing;
  }

  /** Drops everything: the results are no longer needed. */
  abandon(): void {
    this.#stopped = true;
    this.#drop(() => true);
    this.options.adapters.clear();
    this.options.device.leave(this);
  }

  /** Not a failure: another trainer may have it at once. */
  #giveBack(taskId: string): void {
    const message = "the trainer is stopping; give the micro-batch to another";
    this.options.fail(taskFailure(taskId, new GradpoolError("cancelled", message), false));
  }

  #drop(matches: (held: Held) => boolean): void {
    if (this.#current && matches(this.#current)) this.#current.dropped = true;
    const kept = this.#waiting.filter((held) => !matches(held));
    for (const held of this.#waiting) if (!kept.includes(held)) held.trace.dropped();
    this.#waiting = kept;
    this.#pull();
    this.options.device.changed(this);
  }

  /** Never rejects: what goes wrong is reported. */
  async #compute(held: Held): Promise<ComputeResult | undefined> {
    this.#isComputing = true;
    try {
      const adapterId = await held.adapterId.catch((error: unknown) => {
        this.#report(held, GradpoolError.from(error), false);
      });
      if (adapterId !== undefined && !held.dropped) {
        return await this.options.compute(computeTask(held.task, adapterId));
      }
      held.trace.dropped();
      return undefined;
    } catch (error) {
      this.#report(held, GradpoolError.from(error), isPermanent(error));
      return undefined;
    } finally {
      this.#isComputing = false;
    }
  }

  async #deliver(held: Held, result: ComputeResult | undefined): Promise<void> {
    if (result) {
      const waitMs = performance.now() - held.arrivedAt - result.computeMs;
      held.trace.computed(result, waitMs, held.fetchMs);
      await this.#pushing;
      if (held.dropped) held.trace.dropped();
      else this.#pushing = this.#push(held, result, waitMs);
    }
    this.#current = undefined;
    this.#pull();
    this.options.device.changed(this);
  }

  async #push(held: Held, { gradients, ...numbers }: ComputeResult, waitMs: number): Promise<void> {
    const { taskId, runId, step, microBatch } = held.task;
    const { fetchMs } = held;
    try {
      const header = { taskId, runId, step, microBatch, ...numbers, waitMs, fetchMs };
      const accepted = await this.options.push(header, gradients);
      held.trace.pushed(accepted);
      this.options.log.debug({ taskId, runId, step, microBatch, accepted, ...numbers, waitMs }, "result pushed");
    } catch (error) {
      this.#report(held, GradpoolError.from(error), false);
    }
  }

  #report({ task, dropped, trace }: Held, error: GradpoolError, permanent: boolean): void {
    trace.failed(error);
    if (dropped) return;
    const { taskId, runId, step, microBatch } = task;
    this.options.log.warn({ taskId, runId, step, microBatch, code: error.code }, `task failed: ${error.message}`);
    this.options.fail(taskFailure(taskId, error, permanent));
  }

  get #held(): number {
    return this.#waiting.length + (this.#current ? 1 : 0);
  }

  /** As many as there is room for. */
  #pull(): void {
    const room = this.options.device.elsewhere(this).tasks > 0 ? SHARED_TASKS : MAX_TASKS;
    const tasks = room - this.#held - this.#pulled;
    if (this.#stopped || tasks <= 0) return;
    this.#pulled += tasks;
    this.options.pull(tasks);
  }
}

function computeTask(task: MicroBatchTask, adapterId: number): ComputeTask {
  const { taskId, base } = task;
  if (!base) throw new GradpoolError("invalid_argument", `task ${taskId} has no base model; submit the run again`);
  // Copies, whose buffers can be transferred.
  const [ids, targetMask] = [new Uint8Array(task.ids), new Uint8Array(task.targetMask)];
  return { ...task, base, recipe: recipeOf(task), adapterId, ids, targetMask };
}

/** An older coordinator, whose tasks have no recipe, sends its fields one by one. */
function recipeOf({
  recipe,
  loraR: r,
  loraDropout: dropout,
  useDora,
  ...fields
}: MicroBatchTask): ComputeTask["recipe"] {
  if (recipe?.lora) return { ...recipe, lora: recipe.lora };
  const { seed, modelDropout, gradientCheckpointing, dtype } = fields;
  const lora = LoraRecipe.fromPartial({ r, dropout, useDora });
  return { ...Recipe.fromPartial({ seed, modelDropout, gradientCheckpointing, dtype }), lora };
}

import { setTimeout as after } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  MessageQueue,
  type Client,
  type Heartbeat,
  type TrainerGatewayServiceService,
  type TrainerHello,
  type Welcome,
  type WorkRequest,
  type WorkResponse,
} from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { AdapterCache, type AdapterHolder } from "./adapter-cache.js";
import { fetchAdapter, pushResult } from "./bulk-transfers.js";
import type { ComputeResult, ComputeTask } from "./compute-messages.js";
import type { DeviceQueue } from "./device-queue.js";
import type { TrainerMetrics } from "./metrics.js";
import { TaskPipeline } from "./task-pipeline.js";

/** How long the coordinator may take to end its side after the trainer's goodbye. */
const GOODBYE_MS = 1_000;
/**
 * A coordinator hears this soon that the device began or ended work for others, since it gives work to the least busy
 * trainers first; what takes less time is not worth a message.
 */
const SHARE_MS = 20;
/** Heartbeats are sent this much more often than required, since timers are late when the machine is busy. */
const HEARTBEAT_SHARE = 0.75;

export interface ConversationOptions {
  log: Logger;
  hello: TrainerHello;
  compute: AdapterHolder & { run(task: ComputeTask): Promise<ComputeResult> };
  /** Shared with other conversations. */
  device: DeviceQueue;
  metrics: TrainerMetrics;
  /** Of a coordinator that `hello` names as connected already it is the last message. */
  onWelcome: (welcome: Welcome) => void;
  /** The pool's coordinators have changed. */
  onMembers: (addresses: readonly string[]) => void;
  /** Aborted to stop: return the waiting task, finish the current micro-batch, push its result, say goodbye. */
  stopping: AbortSignal;
  /** How long that micro-batch may still take. */
  finishMs: number;
}

/** A client of the coordinator, on its own connection. */
type Gateway = Client<TrainerGatewayServiceService>;

/**
 * One conversation with the coordinator that `connect` dials, from hello to its end. Its tasks and
 * adapters end with it: a restarted coordinator knows of none, and runs of several are never confused. Errors: the call's.
 */
export async function converse(connect: () => Gateway, options: ConversationOptions): Promise<void> {
  const { hello, stopping } = options;
  using control = connect();
  using bulk = connect();
  const ended = new AbortController();
  const outbox = new MessageQueue<WorkRequest>();
  outbox.push({ message: { $case: "hello", value: hello } });
  const conversation = new Conversation(options, outbox, bulk, ended.signal);
  const stop = () => void conversation.stop().then(() => ended.abort());
  stopping.addEventListener("abort", stop, { once: true });
  try {
    for await (const response of control.work(outbox, { signal: ended.signal })) conversation.hear(response);
  } catch (error) {
    if (!stopping.aborted) throw error;
  } finally {
    stopping.removeEventListener("abort", stop);
    ended.abort();
    conversation.end();
  }
}

class Conversation {
  /** Set from the welcome on. */
  #tasks: TaskPipeline | undefined;
  #heartbeats: NodeJS.Timeout | undefined;
  #sharing: NodeJS.Timeout | undefined;
  /** Whether the coordinator believes that the device has work of others. */
  #toldOfOthers = false;

  constructor(
    private readonly options: ConversationOptions,
    private readonly outbox: MessageQueue<WorkRequest>,
    private readonly bulk: Gateway,
    private readonly ended: AbortSignal,
  ) {}

  hear({ message }: WorkResponse): void {
    if (message?.$case === "welcome") return this.#begin(message.value);
    if (!this.#tasks) throw new GradpoolError("failed_precondition", "the coordinator sent work before its welcome");
    if (message?.$case === "task") this.#tasks.accept(message.value);
    if (message?.$case === "cancel") this.#tasks.cancel(message.value.taskId);
    if (message?.$case === "endRun") this.#tasks.endRun(message.value.runId);
    if (message?.$case === "members") this.options.onMembers(message.value.addresses);
  }

  #begin(welcome: Welcome): void {
    if (this.#tasks) throw new GradpoolError("failed_precondition", "the coordinator welcomed this trainer twice");
    const { log, hello, compute, device, metrics, onWelcome } = this.options;
    const { bulk, ended, outbox } = this;
    onWelcome(welcome);
    if (hello.coordinatorIds.includes(welcome.coordinatorId)) return outbox.end();
    this.#heartbeats = setInterval(() => this.#beat(), Math.max(1, welcome.heartbeatMs * HEARTBEAT_SHARE));
    this.#tasks = new TaskPipeline({
      ...{ log, device, onOthers: () => this.#onOthers() },
      adapters: new AdapterCache(compute, (runId, version) =>
        metrics.transfer(
          "adapter",
          () => fetchAdapter(bulk, runId, version, ended),
          ({ byteLength }) => byteLength,
        ),
      ),
      compute: (task) => metrics.compute(task, (given) => compute.run(given)),
      push: (result, gradients) =>
        metrics.transfer(
          "gradients",
          () => pushResult(bulk, { trainerId: hello.trainerId, ...result }, gradients, ended),
          () => gradients.byteLength,
        ),
      pull: (tasks) => outbox.push({ message: { $case: "pull", value: { tasks } } }),
      fail: (failure) => outbox.push({ message: { $case: "failed", value: failure } }),
    });
  }

  #beat(): void {
    // While the connection is blocked, heartbeats must not pile up.
    if (this.outbox.length > 0) return;
    if (!this.#tasks) return;
    const { tasks, isComputing, isStuck } = this.options.device.elsewhere(this.#tasks);
    this.#toldOfOthers = tasks > 0;
    const value: Heartbeat = {
      ...{ taskId: this.#tasks.computingTaskId, residentBytes: process.memoryUsage.rss() },
      ...{ tasksElsewhere: tasks, waiting: isComputing && this.#tasks.isWaiting, stuckElsewhere: isStuck },
    };
    this.outbox.push({ message: { $case: "heartbeat", value } });
  }

  #onOthers(): void {
    this.#sharing ??= setTimeout(() => {
      this.#sharing = undefined;
      if (this.#tasks && this.options.device.elsewhere(this.#tasks).tasks > 0 !== this.#toldOfOthers) this.#beat();
    }, SHARE_MS);
  }

  /** Finishes the current micro-batch if that does not take long, then says goodbye by ending the stream. */
  async stop(): Promise<void> {
    const { finishMs, log } = this.options;
    const late = after(finishMs, "late", { signal: this.ended, ref: false }).catch(() => "ended");
    if ((await Promise.race([this.#tasks?.finish(), late])) === "late") {
      log.warn(`the current micro-batch did not finish within ${finishMs} ms; another trainer will compute it`);
    }
    this.outbox.end();
    await after(GOODBYE_MS, undefined, { signal: this.ended, ref: false }).catch(() => {});
  }

  /** The conversation has ended: nothing waits for work in progress. */
  end(): void {
    clearInterval(this.#heartbeats);
    clearTimeout(this.#sharing);
    this.#tasks?.abandon();
    this.outbox.end();
  }
}

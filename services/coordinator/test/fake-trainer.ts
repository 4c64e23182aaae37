/** A trainer that speaks the real protocol and computes a trivial gradient that depends on everything it should. */
import { EventEmitter, once } from "node:events";
import {
  chunks,
  concat,
  createClient,
  Heartbeat,
  MessageQueue,
  TrainerGatewayServiceService,
  type Client,
  type MicroBatchTask,
  type PushResultRequest,
  type ResultHeader,
  type WorkRequest,
  type WorkResponse,
} from "@gradpool/rpc";
import { readSafetensors, toFloat32, writeSafetensors, type FloatTensor } from "@gradpool/safetensors";
import { keyed } from "./key.js";

export interface FakeTrainerOptions {
  /** Of its process; empty unless given. */
  instance?: string;
  /** That it is connected to already; none unless given. */
  coordinatorIds?: string[];
  trainerId?: string;
  deviceClass?: string;
  /** Tasks to pull at first. */
  tasks?: number;
  /** Leave tasks to the test instead of answering each at once. */
  byHand?: boolean;
  /** 1 GiB unless given. */
  memoryBytes?: number;
  /** No bound unless given. */
  largestBufferBytes?: number;
}

export interface Answer {
  header: Omit<ResultHeader, "gradientBytes">;
  gradients: Uint8Array;
}

export class FakeTrainer implements AsyncDisposable {
  readonly trainerId: string;
  /** Tasks that arrived, including cancelled ones. */
  readonly tasks: MicroBatchTask[] = [];
  readonly cancelled: string[] = [];
  readonly endedRuns: string[] = [];
  /** Results that were accepted, and that were dropped. */
  readonly accepted: string[] = [];
  readonly dropped: string[] = [];
  /** Set once the coordinator has welcomed it. */
  welcome: { heartbeatMs: number; leaseMs: number } | undefined;
  coordinatorId = "";
  /** The coordinator ended the conversation. */
  ended = false;
  /** Changes an answer before it is sent; undefined reports the task as failed. */
  alter: (answer: Answer, task: MicroBatchTask) => Promise<Answer | undefined> = async (answer) => answer;
  readonly outbox = new MessageQueue<WorkRequest>();
  readonly #gateway: Client<TrainerGatewayServiceService>;
  readonly #options: FakeTrainerOptions;
  readonly #over = new AbortController();
  readonly #changes = new EventEmitter().setMaxListeners(0);
  readonly #adapters = new Map<string, Promise<Map<string, FloatTensor>>>();
  readonly #conversation: Promise<void>;
  readonly #answering = new Set<Promise<unknown>>();
  #beating: NodeJS.Timeout | undefined;

  private constructor(address: string, options: FakeTrainerOptions) {
    this.#options = options;
    this.trainerId = options.trainerId ?? "trainer-1";
    this.#gateway = createClient(TrainerGatewayServiceService, address, keyed);
    this.say({
      $case: "hello",
      value: {
        trainerId: this.trainerId,
        device: "fake",
        deviceClass: options.deviceClass ?? "fake",
        host: "here",
        pid: process.pid,
        threads: 1,
        memoryBytes: options.memoryBytes ?? 2 ** 30,
        largestBufferBytes: options.largestBufferBytes ?? 0,
        version: "fake 1",
        instance: options.instance ?? "",
        coordinatorIds: options.coordinatorIds ?? [],
      },
    });
    this.#conversation = this.#converse();
  }

  static async join(address: string, options: FakeTrainerOptions = {}): Promise<FakeTrainer> {
    const trainer = new FakeTrainer(address, options);
    await trainer.until(() => trainer.welcome !== undefined || trainer.ended);
    trainer.pull(options.tasks ?? 2);
    return trainer;
  }

  say(message: NonNullable<WorkRequest["message"]>): void {
    this.outbox.push({ message });
  }

  pull(tasks: number): void {
    this.say({ $case: "pull", value: { tasks } });
  }

  beat(): void {
    this.say({ $case: "heartbeat", value: Heartbeat.fromPartial({ residentBytes: 12345 }) });
  }

  /** From now on it sends no heartbeats by itself. */
  mute(): void {
    clearInterval(this.#beating);
  }

  fail(task: MicroBatchTask, permanent: boolean, message: string): void {
    this.say({ $case: "failed", value: { taskId: task.taskId, code: "resource_exhausted", message, permanent } });
  }

  /** Resolves when `condition` holds; it is checked after everything that happens to this trainer. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#changes, "change");
  }

  /** Computes a task and pushes the result; returns whether it was accepted. */
  async answer(task: MicroBatchTask): Promise<boolean> {
    const { header, gradients } = await this.compute(task);
    return this.push(header, gradients);
  }

  async compute(task: MicroBatchTask): Promise<Answer> {
    const adapter = await this.adapterOf(task);
    const ids = new Int32Array(new Uint8Array(task.ids).buffer);
    const trace = ids.reduce((sum, id, i) => (sum + id * (i + 1)) % 10_007, task.step * 17 + task.microBatch);
    const gradients = new Map<string, FloatTensor>();
    for (const [name, { shape, data }] of adapter) {
      const gradient = data.map((value, i) => 0.3 * value + (((trace + i * 131) % 1009) - 504) / 977);
      gradients.set(name, { shape, data: gradient });
    }
    const masked = task.targetMask.reduce((sum, counts) => sum + counts, 0);
    const all = task.lengths.reduce((sum, length) => sum + Math.max(0, length - 1), 0);
    const targetTokens = task.targetMask.length > 0 ? masked : all;
    const { taskId, runId, step, microBatch } = task;
    const level = task.evaluate ? levelOf(adapter) : 2;
    const numbers = {
      lossSum: targetTokens * (level + trace / 10_007),
      targetTokens,
      computeMs: 1,
      waitMs: 0,
      fetchMs: 0,
    };
    const header = { trainerId: this.trainerId, taskId, runId, step, microBatch, ...numbers };
    return { header, gradients: task.evaluate ? new Uint8Array() : writeSafetensors(gradients) };
  }

  adapterOf({ runId, adapterVersion }: MicroBatchTask): Promise<Map<string, FloatTensor>> {
    const key = `${runId}/${adapterVersion}`;
    const adapter = this.#adapters.get(key) ?? this.#fetch(runId, adapterVersion);
    this.#adapters.set(key, adapter);
    return adapter;
  }

  async push(header: Omit<ResultHeader, "gradientBytes">, gradients: Uint8Array): Promise<boolean> {
    const value = { ...header, gradientBytes: gradients.byteLength };
    const accepted = await this.upload(
      { $case: "header", value },
      ...Array.from(chunks(gradients), (data) => ({ $case: "data" as const, value: data })),
    );
    (accepted ? this.accepted : this.dropped).push(header.taskId);
    this.#changes.emit("change");
    return accepted;
  }

  /** Sends these messages as a result; returns whether it was accepted. */
  async upload(...messages: PushResultRequest["message"][]): Promise<boolean> {
    const requests = (async function* () {
      for (const message of messages) yield { message };
    })();
    return (await this.#gateway.pushResult(requests)).accepted;
  }

  /** Like kill -9: the connection breaks without a goodbye. */
  async kill(): Promise<void> {
    this.#over.abort();
    await this.#conversation;
    await Promise.allSettled(this.#answering);
    this.#gateway.close();
  }

  /** Like a trainer that stops: says goodbye. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.outbox.end();
    await Promise.allSettled(this.#answering);
    await this.kill();
  }

  async #fetch(runId: string, adapterVersion: number): Promise<Map<string, FloatTensor>> {
    const pieces: Uint8Array[] = [];
    for await (const { data } of this.#gateway.fetchAdapter({ runId, adapterVersion })) pieces.push(data);
    const { tensors } = readSafetensors(concat(pieces));
    return new Map([...tensors].map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor) }]));
  }

  async #converse(): Promise<void> {
    try {
      for await (const response of this.#gateway.work(this.outbox, { signal: this.#over.signal })) {
        this.#hear(response);
        this.#changes.emit("change");
      }
    } catch {
      // Broken by the test or by the coordinator's end.
    }
    this.ended = true;
    this.mute();
    this.#changes.emit("change");
  }

  #hear({ message }: WorkResponse): void {
    if (message?.$case === "welcome") {
      const { heartbeatMs, leaseMs, coordinatorId } = message.value;
      this.welcome = { heartbeatMs, leaseMs };
      this.coordinatorId = coordinatorId;
      this.#beating = setInterval(() => this.beat(), message.value.heartbeatMs);
    }
    if (message?.$case === "cancel") this.cancelled.push(message.value.taskId);
    if (message?.$case === "endRun") this.endedRuns.push(message.value.runId);
    if (message?.$case !== "task") return;
    this.tasks.push(message.value);
    if (this.#options.byHand) return;
    const answering = this.#handle(message.value);
    this.#answering.add(answering);
    void answering.finally(() => this.#answering.delete(answering));
  }

  async #handle(task: MicroBatchTask): Promise<void> {
    try {
      const answer = await this.alter(await this.compute(task), task);
      if (answer) await this.push(answer.header, answer.gradients);
      else this.fail(task, false, "this trainer has too little memory");
    } catch (error) {
      this.fail(task, false, error instanceof Error ? error.message : String(error));
    }
    this.pull(1);
  }
}

/** From 1 to 3, different for each adapter. */
function levelOf(adapter: ReadonlyMap<string, FloatTensor>): number {
  let sum = 0;
  for (const { data } of adapter.values()) data.forEach((value, i) => (sum += value * (1 + (i % 7))));
  return 2 + Math.sin(sum);
}

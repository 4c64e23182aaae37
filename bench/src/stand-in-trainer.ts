/**
 * A trainer that answers at once: it fetches each version of the adapter, as a trainer does, and sends the first one back as the gradients
 * of every micro-batch. What is left of a step is the coordinator's work.
 */
import { chunks, concat, createClient, MessageQueue, TrainerGatewayServiceService, withKey } from "@gradpool/rpc";
import type { MicroBatchTask, PoolKey, PushResultRequest, ResultHeader, WorkRequest } from "@gradpool/rpc";

const MAX_TASKS = 2;
/** Nats a target, about what a model that knows nothing has. */
const LOSS = 10;

export class StandInTrainer implements AsyncDisposable {
  readonly #gateway;
  readonly #outbox = new MessageQueue<WorkRequest>();
  readonly #trainerId: string;
  readonly #working: Promise<void>;
  #version = -1;
  #gradients = new Uint8Array();

  constructor(address: string, key: PoolKey, trainerId = "stand-in") {
    this.#gateway = createClient(TrainerGatewayServiceService, address, [withKey(() => key)]);
    this.#trainerId = trainerId;
    const platform = {
      device: "none",
      deviceClass: "none",
      host: "here",
      pid: process.pid,
      threads: 1,
      memoryBytes: 0,
      largestBufferBytes: 0,
    };
    const hello = { trainerId, ...platform, version: "none", instance: trainerId, coordinatorIds: [] };
    this.#outbox.push({ message: { $case: "hello", value: hello } });
    this.#outbox.push({ message: { $case: "pull", value: { tasks: MAX_TASKS } } });
    this.#working = this.#work();
  }

  async #work(): Promise<void> {
    for await (const { message } of this.#gateway.work(this.#outbox)) {
      if (message?.$case !== "task") continue;
      await this.#answer(message.value);
      this.#outbox.push({ message: { $case: "pull", value: { tasks: 1 } } });
    }
  }

  async #answer(task: MicroBatchTask): Promise<void> {
    const { taskId, runId, step, microBatch, adapterVersion, targetMask, rows, rowLength } = task;
    if (adapterVersion !== this.#version) {
      const pieces: Uint8Array[] = [];
      for await (const { data } of this.#gateway.fetchAdapter({ runId, adapterVersion })) pieces.push(data);
      if (this.#version < 0) this.#gradients = concat(pieces);
      this.#version = adapterVersion;
    }
    // All rows are full, and a row's first token has no prediction.
    const targetTokens =
      targetMask.length > 0 ? targetMask.filter((flag) => flag !== 0).length : rows * (rowLength - 1);
    const gradientBytes = this.#gradients.byteLength;
    const numbers = { lossSum: LOSS * targetTokens, targetTokens, computeMs: 1, waitMs: 0, fetchMs: 0, gradientBytes };
    const header = { trainerId: this.#trainerId, taskId, runId, step, microBatch, ...numbers };
    await this.#gateway.pushResult(messages(header, this.#gradients));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#outbox.end();
    await this.#working.catch(() => {});
    this.#gateway.close();
  }
}

async function* messages(header: ResultHeader, gradients: Uint8Array): AsyncGenerator<PushResultRequest> {
  yield { message: { $case: "header", value: header } };
  for (const data of chunks(gradients)) yield { message: { $case: "data", value: data } };
}

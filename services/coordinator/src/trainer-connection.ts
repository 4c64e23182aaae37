import { randomBytes } from "node:crypto";
import type { PoolTrainer, Task } from "./core/state.js";
import { DeviceUse } from "./device-use.js";
import type { Platform } from "./runs/platform.js";
import {
  MessageQueue,
  TrainerState,
  type Heartbeat,
  type ResultHeader,
  type Trainer,
  type TrainerHello,
  type WorkResponse,
} from "@gradpool/rpc";

/** Weight of the newest micro-batch in a trainer's tokens per second. */
const NEWEST_WEIGHT = 0.3;

/** Of the secret in the ids of a trainer's tasks. */
const NONCE_BYTES = 12;

/** One trainer's open conversation. */
export class TrainerConnection {
  readonly outgoing = new MessageQueue<WorkResponse>();
  /** The secret in the ids of its tasks. */
  readonly nonce = randomBytes(NONCE_BYTES).toString("base64url");
  readonly #hello: Omit<TrainerHello, "instance" | "coordinatorIds">;
  readonly #instance: string;
  readonly #connectedAt = new Date();
  #microBatches = 0;
  #tokensPerSecond = 0;
  #residentBytes = 0;
  #tasksElsewhere = 0;
  readonly #deviceUse: DeviceUse;

  constructor({ instance, coordinatorIds: _, ...hello }: TrainerHello, nowMs: number) {
    this.#instance = instance;
    this.#hello = hello;
    this.#deviceUse = new DeviceUse(nowMs);
  }

  get trainerId(): string {
    return this.#hello.trainerId;
  }

  /** Whether the process that says hello is the one at the other end. Processes of before there was an instance have none. */
  isOfSameProcess({ instance, host, pid }: TrainerHello): boolean {
    if (this.#instance !== "" || instance !== "") return instance === this.#instance;
    return host === this.#hello.host && pid === this.#hello.pid;
  }

  /** Whether the core gave the task to this connection, not to another of the trainer. */
  isFor({ taskId }: Task): boolean {
    return taskId.endsWith(`.${this.nonce}`);
  }

  get platform(): Platform & Pick<TrainerHello, "host"> {
    return this.#hello;
  }

  send(message: NonNullable<WorkResponse["message"]>): void {
    this.outgoing.push({ message });
  }

  heard({ residentBytes, taskId, tasksElsewhere }: Heartbeat, nowMs: number): void {
    this.#residentBytes = residentBytes;
    this.#tasksElsewhere = tasksElsewhere;
    this.#deviceUse.computing(taskId, nowMs);
  }

  finished({ targetTokens, computeMs }: ResultHeader, nowMs: number): void {
    this.#deviceUse.finished(computeMs, nowMs);
    const speed = (1000 * targetTokens) / Math.max(computeMs, 1e-3);
    const before = this.#microBatches === 0 ? speed : this.#tokensPerSecond;
    this.#tokensPerSecond = before + NEWEST_WEIGHT * (speed - before);
    this.#microBatches += 1;
  }

  /** For ListTrainers; `runId` is the run that it computes for, `state` its state in the core. */
  describe(runId: string, state: PoolTrainer | undefined, nowMs: number): Trainer {
    return {
      ...this.#hello,
      ...describeState(state),
      residentBytes: this.#residentBytes,
      tasksElsewhere: this.#tasksElsewhere,
      connectedAt: this.#connectedAt,
      microBatches: this.#microBatches,
      tokensPerSecond: this.#tokensPerSecond,
      deviceUse: this.#deviceUse.share(nowMs),
      runId,
    };
  }
}

function describeState(trainer: PoolTrainer | undefined): Pick<Trainer, "state" | "stateReason"> {
  if (trainer?.draining) return { state: TrainerState.TRAINER_STATE_DRAINING, stateReason: "" };
  if (trainer && trainer.quarantinedUntilMs > 0) {
    return { state: TrainerState.TRAINER_STATE_QUARANTINED, stateReason: trainer.quarantineReason };
  }
  return { state: TrainerState.TRAINER_STATE_ACTIVE, stateReason: "" };
}

import { MessageQueue, type ResultHeader, type Trainer, type TrainerHello, type WorkResponse } from "@gradpool/rpc";

/** Weight of the newest micro-batch in a trainer's tokens per second. */
const NEWEST_WEIGHT = 0.3;

/** One trainer's open conversation. */
export class TrainerConnection {
  readonly outgoing = new MessageQueue<WorkResponse>();
  readonly #hello: TrainerHello;
  readonly #connectedAt = new Date();
  #microBatches = 0;
  #tokensPerSecond = 0;
  #residentBytes = 0;

  constructor(hello: TrainerHello) {
    this.#hello = hello;
  }

  get trainerId(): string {
    return this.#hello.trainerId;
  }

  get deviceClass(): string {
    return this.#hello.deviceClass;
  }

  get version(): string {
    return this.#hello.version;
  }

  send(message: NonNullable<WorkResponse["message"]>): void {
    this.outgoing.push({ message });
  }

  heard(residentBytes: number): void {
    this.#residentBytes = residentBytes;
  }

  finished({ targetTokens, computeMs }: ResultHeader): void {
    const speed = (1000 * targetTokens) / Math.max(computeMs, 1e-3);
    const before = this.#microBatches === 0 ? speed : this.#tokensPerSecond;
    this.#tokensPerSecond = before + NEWEST_WEIGHT * (speed - before);
    this.#microBatches += 1;
  }

  /** For ListTrainers; `runId` is the run that it computes for. */
  describe(runId: string): Trainer {
    return {
      ...this.#hello,
      residentBytes: this.#residentBytes,
      connectedAt: this.#connectedAt,
      microBatches: this.#microBatches,
      tokensPerSecond: this.#tokensPerSecond,
      runId,
    };
  }
}

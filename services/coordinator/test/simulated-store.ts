/** What survives a crash of the simulated coordinator: its run store, and what runs saved. */
import assert from "node:assert/strict";
import type { Evaluation, RowCounts, Run, RunLogEntry, StepMetrics } from "@gradpool/rpc";
import { hasEnded, resumedHistory } from "../src/record/run-record.js";
import type { RecordStore } from "../src/record/run-registry.js";
import type { Change, History, PlacedEvent, PlacedUpdate, Recorded, Reported } from "../src/store/run-store.js";

/** Raised in the middle of whatever the coordinator was doing. */
export class SimulatedCrash extends Error {}

/** A checkpoint or recovery point. */
export interface Saved {
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  rowCounts: RowCounts;
  /** Micro-batches of the stream before the next step. */
  cursor: number;
  adapter: number;
  deviceClass: string | undefined;
}

export class SimulatedStore implements RecordStore {
  readonly runs = new Map<string, Run>();
  readonly histories = new Map<string, History>();
  readonly eventLog: PlacedEvent[] = [];
  readonly requests = new Map<string, { content: string; subject: string }>();
  /** By run. */
  readonly saved = new Map<string, Saved>();
  /** By run: the number of its newest event. */
  readonly #sequence = new Map<string, number>();
  /** How long a commit takes: for ever, if its coordinator is down by then. */
  pause: () => Promise<void> = () => Promise.resolve();
  readonly #reported = new Map<string, Reported>();
  readonly #crashes: () => boolean;
  #life = 0;

  /** `crashes` decides before and after each write whether the coordinator dies there. */
  constructor(crashes: () => boolean) {
    this.#crashes = crashes;
  }

  /** Opens the store for a starting coordinator. */
  open(): void {
    this.#life += 1;
  }

  get recorded(): Recorded {
    return {
      life: this.#life,
      runs: [...this.runs.values()],
      requests: [...this.requests].map(([requestId, request]) => ({ requestId, ...request })),
      drained: [],
      events: {
        ...{ logId: "simulated", newest: this.eventLog.length, reported: this.#reported },
        published: { position: 0, stream: "" },
      },
    };
  }

  async commit(changes: readonly Change[]): Promise<number> {
    await this.pause();
    this.#write(() => this.apply(changes));
    return this.eventLog.length;
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) this.#apply(change);
  }

  reported(runIds: readonly string[]): Map<string, Reported> {
    return new Map([...this.#reported].filter(([runId]) => runIds.includes(runId)));
  }

  save(runId: string, saved: Saved): void {
    this.#write(() => this.saved.set(runId, saved));
  }

  async historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]> {
    const history = await this.history(runId);
    return history.map((update, i) => ({ position: i + 1, update })).slice(after, after + limit);
  }

  history(runId: string): Promise<History> {
    return Promise.resolve([...(this.histories.get(runId) ?? [])]);
  }

  runLog(): Promise<RunLogEntry[]> {
    return Promise.resolve([]);
  }

  /** All of `write` or nothing. */
  #write(write: () => void): void {
    if (this.#crashes()) throw new SimulatedCrash();
    write();
    if (this.#crashes()) throw new SimulatedCrash();
  }

  #apply(change: Change): void {
    switch (change.type) {
      case "run": {
        const { runId, state } = change.run;
        const before = this.runs.get(runId);
        assert.ok(!before || !hasEnded(before), `${runId} ended as ${before?.state}, and then became ${state}`);
        this.runs.set(runId, change.run);
        break;
      }
      case "step":
        this.#append(change.runId, { $case: "step", value: change.step });
        break;
      case "evaluation":
        this.#append(change.runId, { $case: "evaluation", value: change.evaluation });
        break;
      case "steps":
        this.histories.set(change.runId, resumedHistory(this.histories.get(change.runId) ?? [], change));
        break;
      case "delete-run":
        this.runs.delete(change.runId);
        break;
      case "request":
        this.requests.set(change.requestId, { content: change.content, subject: change.subject });
        break;
      case "event": {
        const position = this.eventLog.length + 1;
        const { runId, runSequence } = change.event;
        const before = this.#sequence.get(runId) ?? 0;
        if (runId !== "") assert.equal(runSequence, before + 1, `an event of ${runId} is lost or there twice (I6)`);
        this.#sequence.set(runId, runSequence);
        this.eventLog.push({ position, event: { ...change.event, eventId: `simulated-${position}` } });
        break;
      }
      case "reported":
        this.#reported.set(change.runId, change.reported);
        break;
      default:
    }
  }

  #append(runId: string, update: History[number]): void {
    const history = this.histories.get(runId) ?? [];
    history.push(update);
    this.histories.set(runId, history);
  }
}

/**
 * An honest run beside whatever a test does to its pool: it makes steps, and who asks for it gets answers as quickly as before.
 * Asking happens in a thread of its own, so that the test's own work does not count.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { createClient, PoolKey, RunServiceService, withKey } from "@gradpool/rpc";
import type { LocalPool } from "./local-pool.js";
import { tinyRun, type Workspace } from "./tiny-coder.js";
import { watchRun } from "./watch-run.js";

/** Answers that are compared, of each kind. */
const ANSWERS = 100;

/** Between two questions. */
const PAUSE_MS = 5;

/** What a scheduler with two cores for all of this may take, whatever the pool does. */
const FLOOR_MS = 20;

/** Others' work on the machine disturbs a round now and then; what the pool suffers from shows in each. */
const ROUNDS = 8;

interface Asker {
  address: string;
  key: string;
  runId: string;
}

export class HonestRun implements AsyncDisposable {
  readonly runId: string;
  readonly #pool: LocalPool;
  readonly #ended: Promise<unknown>;
  readonly #asker: Worker;

  private constructor(pool: LocalPool, runId: string) {
    this.#pool = pool;
    this.runId = runId;
    this.#ended = watchRun(pool.runs, runId);
    const asker: Asker = { address: pool.address, key: pool.key.reveal(), runId };
    this.#asker = new Worker(fileURLToPath(import.meta.url), { workerData: { asker } });
  }

  /** A run that makes more steps than any test waits for; returns after the first. */
  static async start(pool: LocalPool, workspace: Workspace): Promise<HonestRun> {
    const spec = tinyRun(await workspace.dataset(64), workspace.path("honest"), { epochs: 4_000 });
    const honest = new HonestRun(pool, await pool.submit(spec));
    await honest.stepsAfter(0);
    return honest;
  }

  async step(): Promise<number> {
    return (await this.#pool.runs.getRun({ runId: this.runId })).run?.step ?? 0;
  }

  /** Waits until it has made more than `step` steps. */
  async stepsAfter(step: number): Promise<void> {
    while ((await this.step()) <= step) await delay(20);
  }

  /**
   * Does `work` again and again while another asks for the run, and then leaves it: 99 of 100 answers must take less than
   * twice as long as when nothing else happens, and the run must make a step.
   */
  async beside(work: () => Promise<void>, leave: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const before = await this.step();
    const lines: string[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const quiet = await this.#answers();
      const busy = await this.#answersDuring(work);
      await leave();
      const [quietMs, busyMs] = [p99(quiet), p99(busy)];
      lines.push(`${busyMs.toFixed(1)} ms, ${quietMs.toFixed(1)} ms when quiet`);
      if (busyMs >= Math.max(2 * quietMs, FLOOR_MS)) continue;
      await this.stepsAfter(before);
      console.log(`p99 of GetRun: ${lines.at(-1)}`);
      return;
    }
    assert.fail(`GetRun was slow in each round: ${lines.join("; ")}`);
  }

  /** From the work's beginning to its end. It is repeated until there are enough. */
  async #answersDuring(work: () => Promise<void>): Promise<number[]> {
    const answers: number[] = [];
    let isWorking = true;
    const working = (async () => {
      do await work();
      while (answers.length === 0);
    })();
    const over = () => (isWorking = false);
    working.then(over, over);
    do answers.push(...(await this.#answers()));
    while (isWorking);
    await working;
    return answers;
  }

  /** Milliseconds of each of some questions, one after the other. */
  async #answers(): Promise<number[]> {
    this.#asker.postMessage(ANSWERS);
    const [answers] = (await once(this.#asker, "message")) as [number[]];
    return answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#asker.terminate();
    await this.#pool.runs.cancelRun({ requestId: "end", runId: this.runId });
    await this.#ended;
  }
}

const p99 = (answers: readonly number[]): number => {
  const sorted = [...answers].sort((a, b) => a - b);
  return sorted[Math.ceil(0.99 * sorted.length) - 1] ?? NaN;
};

/** Bytes of memory that a process holds (Linux). */
export function residentBytes(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

if (!isMainThread && (workerData as { asker?: Asker } | undefined)?.asker) {
  const { address, key, runId } = (workerData as { asker: Asker }).asker;
  const client = createClient(RunServiceService, address, [withKey(() => new PoolKey(key, "the test"))]);
  parentPort?.on("message", (count: number) => {
    void (async () => {
      const answers: number[] = [];
      for (let i = 0; i < count; i++) {
        const asked = performance.now();
        await client.getRun({ runId });
        answers.push(performance.now() - asked);
        await delay(PAUSE_MS);
      }
      parentPort?.postMessage(answers);
    })();
  });
}

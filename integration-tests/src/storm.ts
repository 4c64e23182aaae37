/** A seeded storm over a whole pool: two runs at a time train through it, one after the other, until it is over. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RunState, type RunSpec } from "@gradpool/rpc";
import { Coordinators } from "./coordinators.js";
import { DISTURBANCES, type Stormy } from "./disturbances.js";
import { NatsCluster } from "./nats-cluster.js";
import type { Fingerprint } from "./quiet-run.js";
import { randomOf, shuffled } from "./random.js";
import { assertEachOnce, upTo } from "./recorded-events.js";
import { smallDisk } from "./small-disk.js";
import { fingerprint, Workspace } from "./tiny-coder.js";
import { Versitygw } from "./versitygw.js";

const COORDINATORS = 3;
const TRAINERS = 4;
const LEASE_SECONDS = 2;
const BUCKET = "results";
/** Of a small disk for results. */
const DISK_KIB = 96 * 1024;
/** The next disturbance begins after this many steps, or this long after the last one. */
const STEPS_BETWEEN = 4;
const LONGEST_BETWEEN_MS = 4_000;
/** A storm that is not over by then never will be. */
const LONGEST_MS = 240_000;

export interface StormOptions {
  seed: number;
  /** The run that is trained, into an output folder. */
  spec: (outputDir: string) => RunSpec;
  /** What a quiet run of it gives. */
  quiet: Fingerprint;
  /** How many of DISTURBANCES there are, each once, in an order that the seed decides; all unless given. */
  disturbances?: number;
  say: (text: string) => void;
}

export class Storm {
  readonly #options: StormOptions;
  #steps = 0;
  #isOver = false;
  readonly #trained: { runId: string; steps: number }[] = [];

  private constructor(options: StormOptions) {
    this.#options = options;
  }

  /** Results go to an object store where the seed is even, and to a folder otherwise. Errors: assertions, with what happened before. */
  static async blow(options: StormOptions): Promise<void> {
    const { seed } = options;
    const random = randomOf(seed);
    await using workspace = await Workspace.create();
    using disk = seed % 2 === 0 ? undefined : smallDisk(workspace.path("results"), DISK_KIB);
    await using objects = seed % 2 === 0 ? await Versitygw.start(workspace.path("results"), [BUCKET]) : undefined;
    await using nats = await NatsCluster.start(workspace.path("nats"));
    await using pool = await Coordinators.start({
      ...{ coordinators: COORDINATORS, leaseSeconds: LEASE_SECONDS, standby: true, proxies: true },
      ...{ env: objects?.env ?? {}, coordinatorEnv: { NATS_URL: nats.url } },
    });
    await pool.addTrainers(TRAINERS);
    const filler = disk && workspace.path("results", "filler");
    const leaseMs = 1000 * LEASE_SECONDS;
    const parts = { pool, coordinators: COORDINATORS, leaseMs, nats, objects, filler, random };
    const storm = new Storm(options);
    const late = new AbortController();
    const tooLate = delay(LONGEST_MS, undefined, { signal: late.signal }).then(() => {
      throw new Error(`storm ${seed} does not end; coordinators:\n${logsOf(pool)}`);
    });
    try {
      await Promise.race([tooLate, storm.#train(parts, workspace.path("results"))]);
    } finally {
      late.abort();
      tooLate.catch(() => {});
    }
  }

  async #train(parts: Stormy, folder: string): Promise<void> {
    const storm = this.#disturb(parts);
    await Promise.all([storm, this.#lane("a", parts, folder), this.#lane("b", parts, folder)]);
    await this.#checkEvents(parts);
  }

  /** The last disturbances may still be going on when the next one begins, unless they are of the same thing. */
  async #disturb(storm: Stormy): Promise<void> {
    const { seed, say, disturbances = DISTURBANCES.length } = this.#options;
    const last = new Map<string, Promise<unknown>>();
    for (const { name, what, happen } of shuffled(DISTURBANCES, storm.random).slice(0, disturbances)) {
      const from = this.#steps;
      const begunMs = performance.now();
      while (this.#steps < from + STEPS_BETWEEN && performance.now() - begunMs < LONGEST_BETWEEN_MS) await delay(20);
      say(`storm ${seed}, step ${this.#steps}: ${name}`);
      last.set(
        what,
        (last.get(what) ?? Promise.resolve()).then(() => happen(storm)),
      );
    }
    await Promise.all(last.values());
    this.#isOver = true;
  }

  /** Trains until the storm is over, each run at some coordinator, and watches it at some coordinator. */
  async #lane(lane: string, { pool, objects, random }: Stormy, folder: string): Promise<void> {
    const { spec, quiet, say, seed } = this.#options;
    const some = () => Math.floor(random() * COORDINATORS);
    for (let n = 1; n === 1 || !this.#isOver; n++) {
      const name = `${lane}-${n}`;
      const runId = await pool.submit(some(), spec(objects ? `s3://${BUCKET}/${name}` : join(folder, name)));
      const { run, steps } = await pool.watch(some(), runId, () => void this.#steps++);
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual(
        steps.map(({ step, loss }) => [step, loss]),
        quiet.losses.map(([loss], i) => [i + 1, loss]),
      );
      const stored = objects ? objects.path(BUCKET, name) : join(folder, name);
      assert.deepEqual(await fingerprint(stored), quiet, `seed ${seed}, run ${name}`);
      this.#trained.push({ runId, steps: steps.length });
      say(`storm ${seed}: run ${name} has a quiet run's bytes`);
    }
  }

  /** In the store and in the stream: each once, in order, none missing. */
  async #checkEvents({ pool, nats }: Stormy): Promise<void> {
    const events = await pool.events(0);
    for (const { runId, steps } of this.#trained) {
      assertEachOnce(events, runId, steps);
      assert.equal(events.findLast((event) => event.runId === runId)?.payload?.$case, "runCompleted");
    }
    const ids = events.map(({ eventId }) => eventId);
    assert.deepEqual(ids.map(positionOf), upTo(ids.length), "no gaps in the log of events");
    const [server] = nats.servers;
    const stored = (await server?.eventsWith(({ messageId }) => messageId === ids.at(-1))) ?? [];
    assert.deepEqual(
      stored.slice(0, ids.length).map(({ messageId }) => messageId),
      ids,
      "the stream has each event once, in order",
    );
    this.#options.say(`storm ${this.#options.seed}: ${this.#trained.length} runs, and ${ids.length} events, each once`);
  }
}

const positionOf = (eventId: string) => Number(eventId.split("-")[1]);
const logsOf = (pool: Coordinators) =>
  upTo(COORDINATORS)
    .flatMap((i) => pool.log(i - 1).slice(-15))
    .join("\n");

/**
 * A pool of a thousand trainers for a week, simulated: how much of its devices' time becomes steps, and where the rest goes. Prints
 * a line of JSON for every six hours. Usage: node pool-week.js --coordinators 3 --trainers 1000 --runs 500 --days 7 --seconds 300 --seed 1
 */
import { parseArgs } from "node:util";
import { randomOf, type SimulatedRun } from "./simulated-run.js";
import { SharedSimulation, type Faults } from "./shared-simulation.js";

const HOUR_MS = 3_600_000;

/** Micro-batches of a step: a coordinator's 32 active runs keep a thousand trainers busy alone. */
const ACCUMULATION = 64;

const numbers = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    coordinators: { ...numbers, default: "3" },
    trainers: { ...numbers, default: "1000" },
    runs: { ...numbers, default: "500" },
    days: { ...numbers, default: "7" },
    /** Of a micro-batch, on average. */
    seconds: { ...numbers, default: "300" },
    accumulation: { ...numbers, default: String(ACCUMULATION) },
    seed: { ...numbers, default: "1" },
    /** Nothing goes wrong. */
    quiet: { type: "boolean", default: false },
  },
});
const [coordinators, trainers, runCount] = [values.coordinators, values.trainers, values.runs].map(Number) as [
  number,
  number,
  number,
];
const [days, seconds, accumulation, seed] = [values.days, values.seconds, values.accumulation, values.seed].map(
  Number,
) as [number, number, number, number];
const endMs = days * 24 * HOUR_MS;

/** More than the pool can compute, so that it has work up to the end. */
function runs(): SimulatedRun[] {
  const random = randomOf(seed);
  const microBatches = (1.15 * trainers * endMs) / 1000 / seconds / runCount;
  return Array.from({ length: runCount }, (_, i) => ({
    ...{ name: `run-${i}`, gradientAccumulation: Math.ceil(accumulation * (0.5 + random())), epochs: 1 },
    ...{ microBatchesPerEpoch: Math.ceil(microBatches * (0.5 + random())), withoutTarget: 0 },
    ...{ evaluateEvery: 0, heldOut: 1 },
  }));
}

/** What a team of a thousand machines has to expect. */
const FAULTS: Faults = {
  // Each coordinator once in two days.
  kills: (48 * HOUR_MS) / coordinators,
  pauses: (48 * HOUR_MS) / coordinators,
  cuts: (24 * HOUR_MS) / coordinators,
  outages: 24 * HOUR_MS,
  slowDisks: 6 * HOUR_MS,
  upgrades: 48 * HOUR_MS,
  // Each trainer twice a day, and once.
  trainerCuts: (12 * HOUR_MS) / trainers,
  trainerDeaths: (24 * HOUR_MS) / trainers,
};

const begunMs = performance.now();
const speeds = new Map<string, number>();
const random = randomOf(seed + 1);
const simulation = new SharedSimulation({
  ...{ seed, coordinators, trainers, runs: runs(), faults: values.quiet ? {} : FAULTS },
  leases: { memberMs: 5_000, trainerMs: Infinity, tickMs: Math.max(2_000, 100 * seconds) },
  ...{ heartbeatMs: Infinity, awayMs: 60_000, calmMs: Infinity, checksFairness: false },
  ...{ losses: values.quiet ? 0 : 0.001, submitMs: 60_000, recoveryMs: 30_000, saveMs: 2_000 },
  longestTurnMs: 20_000 * seconds,
  // Devices differ, and so do micro-batches.
  computeMs: (_, trainerId) => {
    const speed = speeds.get(trainerId) ?? 0.75 + 0.5 * random();
    speeds.set(trainerId, speed);
    return Math.round(1000 * seconds * speed * (0.9 + 0.2 * random()));
  },
});
/** Shares of the trainers' time so far. */
function report(): object {
  simulation.trainers.settle();
  const { time } = simulation.trainers;
  let [steps, usefulMs] = [0, 0];
  for (const history of simulation.database.tables.histories.values()) {
    for (const update of history) {
      if (update.$case !== "step") continue;
      steps += 1;
      usefulMs += 1000 * update.value.seconds;
    }
  }
  const share = (ms: number) => Number((ms / time.alive).toFixed(5));
  const { user, system } = process.cpuUsage();
  return {
    ...{ seed, coordinators, trainers, runs: runCount, seconds, accumulation, quiet: values.quiet },
    days: simulation.agenda.nowMs / HOUR_MS / 24,
    ...{ happened: simulation.happened, takeovers: simulation.database.takeovers, steps },
    shares: {
      useful: share(usefulMs),
      // Accepted, for steps that are not made yet.
      underWay: share(simulation.deviceMs),
      // Sent as a result, and for nothing: its coordinator was lost before the step was recorded or saved.
      again: share(time.computed - usefulMs - simulation.deviceMs),
      lost: share(time.lost),
      unwanted: share(time.unwanted),
      idle: share(time.alive - time.computed - time.lost - time.unwanted),
    },
    processorSeconds: Math.round((user + system) / 1e6),
    wallSeconds: Math.round((performance.now() - begunMs) / 1000),
  };
}

/** Progress is reported after each. */
const PART_MS = 6 * HOUR_MS;

for (let atMs = 0; atMs < endMs;) {
  atMs = Math.min(endMs, atMs + PART_MS);
  await simulation.playUntil(atMs);
  process.stdout.write(`${JSON.stringify(report())}\n`);
}

/** What the simulated coordinator goes through, and what must hold at the end. */
import assert from "node:assert/strict";
import { RunState } from "@gradpool/rpc";
import { expectedEnd, type SimulatedRun } from "./simulated-run.js";
import { Simulation, type End, type SimulationOptions } from "./simulation.js";

/** Runs of various shapes, from the seed's digits. */
export function runsOf(seed: number, number: number): SimulatedRun[] {
  return Array.from({ length: number }, (_, i) => ({
    name: `run-${i}`,
    gradientAccumulation: 1 + ((seed + 3 * i) % 5),
    epochs: 1 + ((seed + i) % 2),
    microBatchesPerEpoch: 1 + ((7 * seed + 5 * i) % 11),
    // The first one has a target, so that every run makes a step.
    withoutTarget: ((seed + i) % 3) * ((11 * seed + 29 * i) % 128) * 2,
    evaluateEvery: (seed + 2 * i) % 4,
    heldOut: 1 + ((3 * seed + i) % 6),
  }));
}

/** Named after what they show. */
export const SCENARIOS: Readonly<Record<string, (seed: number) => Omit<SimulationOptions, "seed">>> = {
  "gives each run what it gives alone, when nothing goes wrong (I1, I2, I8)": (seed) => ({
    runs: runsOf(seed, 3),
    trainers: 1 + (seed % 4),
  }),
  "takes each micro-batch once, in order, whatever is lost, late or doubled (I1, I3)": (seed) => ({
    runs: runsOf(seed, 1 + (seed % 3)),
    trainers: 1 + (seed % 3),
    losses: 0.2,
  }),
  "ends all runs with the same adapters while trainers die and come back (I2, I3)": (seed) => ({
    runs: runsOf(seed, 1 + (seed % 4)),
    trainers: 1 + (seed % 4),
    deaths: 0.1,
    losses: 0.1,
  }),
  "keeps runs to one class of devices, and lets no class starve (I2, I8)": (seed) => ({
    runs: runsOf(seed, 4),
    trainers: 2 + (seed % 3),
    deviceClasses: 2,
    deaths: 0.05,
    losses: 0.1,
  }),
  "gives a slow trainer's work to another, and takes the first answer (I3)": (seed) => ({
    runs: runsOf(seed, 2),
    trainers: 2 + (seed % 3),
    stalls: 0.1,
    losses: 0.05,
  }),
  "asks a second trainer where a result looks wrong or none comes, and fails no run (I2)": (seed) => ({
    runs: runsOf(seed, 2),
    trainers: 1 + (seed % 3),
    deviceClasses: 1 + (seed % 2),
    doubts: 0.1,
    stalls: 0.05,
    deaths: 0.02,
  }),
  "cancels at any moment without touching the others": (seed) => ({
    runs: runsOf(seed, 4),
    trainers: 2,
    deaths: 0.05,
    losses: 0.1,
    cancelled: ["run-0", "run-2"],
  }),
  "continues after a crash between any two writes as if there had been none (I1, I2, I4)": (seed) => ({
    runs: runsOf(seed, 1 + (seed % 3)),
    trainers: 1 + (seed % 3),
    crashes: 0.01,
  }),
  "pauses and resumes at any moment, through crashes and full disks, without a trace (I2, I4)": (seed) => ({
    runs: runsOf(seed, 3),
    trainers: 1 + (seed % 3),
    crashes: 0.005,
    troubles: 0.1,
    paused: ["run-0", "run-1"],
    cancelled: seed % 2 === 0 ? ["run-1"] : [],
  }),
  "survives all of it at once": (seed) => ({
    runs: runsOf(seed, 1 + (seed % 5)),
    trainers: 2 + (seed % 4),
    deviceClasses: 1 + (seed % 2),
    deaths: 0.05,
    losses: 0.1,
    stalls: 0.03,
    doubts: 0.03,
    crashes: 0.005,
    troubles: 0.05,
    paused: ["run-0"],
    cancelled: seed % 3 === 0 ? ["run-2"] : [],
  }),
};

/** Plays one history to its end. */
export async function check(options: SimulationOptions): Promise<void> {
  checkEnds(await new Simulation(options).play(), options);
}

/** Each run has ended as it would have on a trainer that never fails, or as it was asked to. */
export function checkEnds(
  ends: ReadonlyMap<string, End>,
  { seed, runs, cancelled: names = [] }: Pick<SimulationOptions, "seed" | "runs" | "cancelled">,
): void {
  const cancelled = new Set(names);
  for (const run of runs) {
    const what = `${run.name} of seed ${seed}`;
    const end = ends.get(run.name);
    assert.ok(end, what);
    checkEvents(end, what);
    const { saved, history } = end;
    if (cancelled.has(run.name) && end.run.state === RunState.RUN_STATE_CANCELLED) continue;
    assert.equal(end.run.state, RunState.RUN_STATE_COMPLETED, what);
    const expected = expectedEnd(run);
    assert.equal(saved?.adapter, expected.adapter, `${what} has another adapter (I2)`);
    assert.deepEqual(saved.rowCounts, expected.rowCounts, `${what}: its rows (I2)`);
    assert.deepEqual(end.run.rowCounts, expected.rowCounts, `${what}: its recorded rows (I2)`);
    const losses = saved.evaluations.map(({ loss }) => loss);
    assert.deepEqual(losses, expected.evaluations, `${what}: its evaluations (I2)`);
    const recorded = (kind: "step" | "evaluation") =>
      history.flatMap((update) => (update.$case === kind ? [update.value] : []));
    assert.deepEqual(recorded("step"), saved.steps, `${what}: its recorded steps (I2)`);
    assert.deepEqual(recorded("evaluation"), saved.evaluations, `${what}: its recorded evaluations (I2)`);
  }
}

/** I6: each once and in order, from the run's submission to its end. */
function checkEvents({ run, events }: End, what: string): void {
  const sequence = events.map(({ runSequence }) => runSequence);
  assert.deepEqual(
    sequence,
    sequence.map((_, i) => i + 1),
    `${what}: its events (I6)`,
  );
  const kinds = events.map(({ payload }) => payload?.$case);
  const last = run.state === RunState.RUN_STATE_CANCELLED ? "runCancelled" : "runCompleted";
  const why = run.error ? `: ${run.error.message}` : "";
  assert.deepEqual([kinds[0], kinds.at(-1)], ["runSubmitted", last], `${what}: its events (I6)${why}`);
  const steps = events.flatMap(({ payload }) => (payload?.$case === "runStep" ? [payload.value.step] : []));
  assert.deepEqual(
    steps,
    Array.from({ length: Math.max(0, ...steps) }, (_, i) => i + 1),
    `${what}: its steps as events (I6)`,
  );
  if (last === "runCompleted") assert.equal(steps.at(-1), run.step, `${what}: its last step as an event (I6)`);
}

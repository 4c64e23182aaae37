/** What several simulated coordinators go through, by seed. */
import { checkEnds, runsOf } from "./scenarios.js";
import { SharedSimulation, type Faults, type SharedSimulationOptions } from "./shared-simulation.js";

/** Everything goes wrong once in a few seconds, and then nothing more. */
const CALM_MS = 60_000;

type Scenario = Partial<SharedSimulationOptions> & { faults: Faults };

/** Named after what they show. */
export const SHARED_SCENARIOS: Readonly<Record<string, (seed: number) => Scenario>> = {
  "share runs and trainers, and give each run what it gives alone (I1, I2, I8)": () => ({ faults: {} }),
  "take over what one that is killed had (I1, I2, I4, I6)": () => ({ faults: { kills: 15_000 }, crashes: 0.003 }),
  "record nothing of one that was paused past its lease (I4, I5)": () => ({ faults: { pauses: 10_000 } }),
  "survive cuts between them and the database, and its outages": () => ({
    faults: { cuts: 10_000, outages: 20_000, slowDisks: 60_000 },
  }),
  "are replaced one by one without a lost step": () => ({ faults: { upgrades: 20_000, slowDisks: 60_000 } }),
  "pause, resume and cancel runs wherever a client asks (I4)": (seed) => ({
    faults: { kills: 30_000, pauses: 20_000, upgrades: 40_000 },
    paused: ["run-0", "run-1"],
    cancelled: seed % 2 === 0 ? ["run-2"] : ["run-1"],
  }),
  "give runs that wait to others that have room": (seed) => ({
    faults: { kills: 60_000, pauses: 30_000, cuts: 30_000, upgrades: 40_000 },
    ...{ coordinators: 2, runs: runsOf(seed, 44), trainers: 10, cancelled: ["run-30"], paused: ["run-40"] },
  }),
  "survive all of it at once": (seed) => ({
    faults: { kills: 25_000, pauses: 20_000, cuts: 20_000, outages: 40_000, slowDisks: 60_000, upgrades: 50_000 },
    ...{ deviceClasses: 1 + (seed % 2), deaths: 0.03, losses: 0.05, crashes: 0.002, troubles: 0.03 },
    paused: ["run-0"],
    cancelled: seed % 3 === 0 ? ["run-2"] : [],
  }),
};

/** Plays one history to its end. */
export async function checkShared(
  scenario: string,
  seed: number,
  planted: Pick<SharedSimulationOptions, "isUnfenced"> = {},
): Promise<void> {
  const options: SharedSimulationOptions = {
    seed,
    coordinators: 2 + (seed % 4),
    runs: runsOf(seed, 4 + (seed % 7)),
    trainers: 4 + (seed % 5),
    leases: { memberMs: 5_000, trainerMs: 10_000, tickMs: 1_000 },
    ...{ heartbeatMs: 2_000, awayMs: 5_000, calmMs: CALM_MS, checksFairness: true },
    ...SHARED_SCENARIOS[scenario]!(seed),
    ...planted,
  };
  checkEnds(await new SharedSimulation(options).play(), options);
}

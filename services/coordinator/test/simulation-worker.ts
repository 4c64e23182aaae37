/** Plays seeds in a separate thread, one per core: node:test's hooks make each promise slow. */
import { parentPort } from "node:worker_threads";
import { check, SCENARIOS } from "./scenarios.js";
import { checkShared } from "./shared-scenarios.js";

export interface Seeds {
  /** Of one coordinator, or of several. */
  scenario: string;
  seeds: readonly number[];
}

/** Empty when all went well. */
async function play({ scenario, seeds }: Seeds): Promise<string> {
  const optionsOf = SCENARIOS[scenario];
  for (const seed of seeds) {
    try {
      await (optionsOf ? check({ seed, ...optionsOf(seed) }) : checkShared(scenario, seed));
    } catch (error) {
      return `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`;
    }
  }
  return "";
}

parentPort?.on("message", (seeds: Seeds) => void play(seeds).then((failure) => parentPort?.postMessage(failure)));

/** Plays seeds in a separate thread, one per core: node:test's hooks make each promise slow. */
import { parentPort } from "node:worker_threads";
import { check, SCENARIOS } from "./scenarios.js";

export interface Seeds {
  scenario: string;
  seeds: readonly number[];
}

/** Empty when all went well. */
async function play({ scenario, seeds }: Seeds): Promise<string> {
  for (const seed of seeds) {
    try {
      await check({ seed, ...(SCENARIOS[scenario] as (typeof SCENARIOS)[string])(seed) });
    } catch (error) {
      return `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`;
    }
  }
  return "";
}

parentPort?.on("message", (seeds: Seeds) => void play(seeds).then((failure) => parentPort?.postMessage(failure)));

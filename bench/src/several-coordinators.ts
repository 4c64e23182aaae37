/**
 * Four trainers that work for two coordinators against four that work for one, on PostgreSQL: steps per second of four runs, all on the
 * only coordinator of a pool, on one of two, or two on each. In turn.
 */
import { parseArgs } from "node:util";
import { Coordinators, tinyRun, Workspace } from "@gradpool/integration-tests";
import { inTurn, median, ratiosOf, spreadOf, spreadText } from "./rounds.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    rows: { type: "string", default: "240" },
    /** Of a micro-batch. */
    batch: { type: "string", default: "2" },
    /** Of a row. */
    tokens: { type: "string", default: "48" },
  },
});
const TRAINERS = 4;
const RUNS = 4;
const BASE = "one coordinator";

await using workspace = await Workspace.create();
const dataset = await workspace.dataset(Number(values.rows));

/** Steps per second of all runs, which these coordinators get in turn, while all of them make steps. */
async function speedOf(name: string, pool: Coordinators, owners: readonly number[]): Promise<number> {
  const recipe = { gradientAccumulation: 4, batchSize: Number(values.batch), maxLength: Number(values.tokens) };
  const times = await Promise.all(
    Array.from({ length: RUNS }, async (_, i) => {
      const made: number[] = [];
      const owner = owners[i % owners.length] ?? 0;
      const runId = await pool.submit(owner, tinyRun(dataset, workspace.path(`${name}-${i}`), recipe));
      await pool.watch(owner, runId, () => void made.push(performance.now()));
      return made;
    }),
  );
  const from = Math.max(...times.map((made) => made[1] ?? NaN));
  const to = Math.min(...times.map((made) => made.at(-1) ?? NaN));
  const steps = times.flat().filter((at) => at > from && at <= to).length;
  return (1000 * steps) / (to - from);
}

/** As a pool has it unless told otherwise. */
const leaseSeconds = 5;
await using alone = await Coordinators.start({ coordinators: 1, leaseSeconds });
await using pair = await Coordinators.start({ coordinators: 2, leaseSeconds });
await alone.addTrainers(TRAINERS);
await pair.addTrainers(TRAINERS);
const contenders: Record<string, (round: number) => Promise<number>> = {
  [BASE]: (round) => speedOf(`alone-${round}`, alone, [0]),
  "one of two": (round) => speedOf(`one-of-two-${round}`, pair, [0]),
  "two coordinators": (round) => speedOf(`two-${round}`, pair, [0, 1]),
};
const all = await inTurn(Number(values.rounds) + 1, contenders);
// The first round only loads the model.
const speedsOf = (name: string) => (all[name] ?? []).slice(1);
for (const name of Object.keys(contenders)) {
  const ratios = ratiosOf(speedsOf(name), speedsOf(BASE));
  console.log(`${name}: ${median(speedsOf(name)).toFixed(1)} steps/s of ${RUNS} runs;`);
  console.log(`  against one, ${ratios.length} rounds: ${spreadText(spreadOf(ratios), 3)}`);
}

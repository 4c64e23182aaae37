/**
 * Four trainers that work for two coordinators against four that work for one: steps per second of four runs, all on one
 * coordinator or two on each; and on one coordinator, what the stream to another costs that has nothing to do. In turn.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Stack, tinyRun } from "@gradpool/integration-tests";
import { inTurn, median, ratiosOf, spreadOf, spreadText } from "./rounds.js";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, rows: { type: "string", default: "240" } },
});
const TRAINERS = 4;
const RUNS = 4;
const dir = await mkdtemp(join(tmpdir(), "gradpool-several-coordinators-"));
const dataset = join(dir, "rows.jsonl");
const row = (i: number) => `def f${i}(x):\n${Array.from({ length: 8 }, (_, k) => `    x = x * ${k + i}\n`).join("")}`;
const rows = Array.from({ length: Number(values.rows) }, (_, i) => JSON.stringify({ content: row(i) }));
await writeFile(dataset, `${rows.join("\n")}\n`);

/** Steps per second of all runs, which the stacks get in turn, while all of them make steps. */
async function speedOf(name: string, stacks: readonly Stack[]): Promise<number> {
  const recipe = { gradientAccumulation: 4, batchSize: 2, maxLength: 48 };
  const times = await Promise.all(
    Array.from({ length: RUNS }, async (_, i) => {
      const made: number[] = [];
      const spec = tinyRun(dataset, join(dir, `${name}-${i}`), recipe);
      await stacks[i % stacks.length]!.train(spec, () => void made.push(performance.now()));
      return made;
    }),
  );
  const from = Math.max(...times.map((made) => made[1] ?? NaN));
  const to = Math.min(...times.map((made) => made.at(-1) ?? NaN));
  const steps = times.flat().filter((at) => at > from && at <= to).length;
  return (1000 * steps) / (to - from);
}

try {
  const start = (name: string, trainers: number) => Stack.start({ trainers, runStore: join(dir, `${name}.sqlite`) });
  await using alone = await start("alone", TRAINERS);
  await using first = await start("first", 0);
  await using second = await start("second", 0);
  const both = { GRADPOOL_COORDINATOR_ADDRESS: `${first.address},${second.address}` };
  await Promise.all(Array.from({ length: TRAINERS }, () => first.addTrainer(1, both)));
  const pools = {
    "one coordinator": [alone],
    "one, with an idle stream to another": [first],
    "two coordinators": [first, second],
  };
  const contenders = Object.entries(pools).map(([name, stacks]): [string, (round: number) => Promise<number>] => [
    name,
    (round) => speedOf(`${name}-${round}`, stacks),
  ]);
  const all = await inTurn(Number(values.rounds) + 1, Object.fromEntries(contenders));
  // The first round only loads the model.
  const speedsOf = (name: string) => (all[name] ?? []).slice(1);
  for (const name of Object.keys(pools)) {
    const ratios = ratiosOf(speedsOf(name), speedsOf("one coordinator"));
    console.log(`${name}: ${median(speedsOf(name)).toFixed(1)} steps/s of ${RUNS} runs;`);
    console.log(`  against one, ${ratios.length} rounds: ${spreadText(spreadOf(ratios), 3)}`);
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** What events cost a step: the same short runs in turn on a pool without NATS, with it, and with one that hangs. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { NatsServer, Stack, tinyRun } from "@gradpool/integration-tests";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "9" } } });
const dir = await mkdtemp(join(tmpdir(), "gradpool-events-cost-"));
const dataset = join(dir, "rows.jsonl");
const rows = Array.from({ length: 120 }, (_, i) => JSON.stringify({ content: `def f${i}(x):\n    return x * ${i}\n` }));
await writeFile(dataset, `${rows.join("\n")}\n`);

/** Median seconds of a run's steps; the first ones load the model. */
async function stepSeconds(stack: Stack, name: string): Promise<number> {
  const { steps } = await stack.train(tinyRun(dataset, join(dir, name), { gradientAccumulation: 1 }));
  return median(steps.slice(5).map(({ seconds }) => seconds));
}

const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;

try {
  await using nats = await NatsServer.start(join(dir, "nats"));
  await using hanging = await NatsServer.start(join(dir, "hanging"));
  const start = (name: string, natsUrl?: string) =>
    Stack.start({ trainers: 1, runStore: join(dir, `${name}.sqlite`), ...(natsUrl && { natsUrl }) });
  await using without = await start("without");
  await using withNats = await start("with", nats.url);
  await using withHanging = await start("hanging", hanging.url);
  hanging.suspend();
  const pools = { without, "with NATS": withNats, "with a NATS that hangs": withHanging };
  const measured = new Map<string, number[]>();
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [name, stack] of Object.entries(pools)) {
      const seconds = await stepSeconds(stack, `${name}-${round}`);
      // The first round only warms up.
      if (round > 0) measured.set(name, [...(measured.get(name) ?? []), seconds]);
    }
  }
  const base = measured.get("without") ?? [];
  console.log(
    `a step takes ${(1000 * median([...base])).toFixed(1)} ms without NATS; ratios of ${base.length} rounds:`,
  );
  for (const [name, seconds] of measured) {
    if (seconds === base) continue;
    const ratios = seconds.map((value, i) => value / (base[i] ?? NaN)).sort((a, b) => a - b);
    console.log(
      `  ${name}: median ${median(ratios).toFixed(3)}, ${ratios[0]?.toFixed(3)} to ${ratios.at(-1)?.toFixed(3)}`,
    );
  }
  hanging.goOn();
} finally {
  await rm(dir, { recursive: true, force: true });
}

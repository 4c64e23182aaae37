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

/**
 * Of a run: median seconds of its steps, the first of which load the model, and the coordinator's seconds of CPU
 * time per step, which say more on a busy machine.
 */
async function measure(stack: Stack, name: string): Promise<{ wall: number; cpu: number }> {
  const before = stack.coordinatorCpuSeconds();
  const { steps } = await stack.train(tinyRun(dataset, join(dir, name), { gradientAccumulation: 1 }));
  const cpu = (stack.coordinatorCpuSeconds() - before) / steps.length;
  return { wall: median(steps.slice(5).map(({ seconds }) => seconds)), cpu };
}

const milliseconds = (seconds: number[]) => (1000 * median(seconds)).toFixed(1);
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
  const measured = new Map<string, { wall: number; cpu: number }[]>();
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [name, stack] of Object.entries(pools)) {
      const costs = await measure(stack, `${name}-${round}`);
      // The first round only warms up.
      if (round > 0) measured.set(name, [...(measured.get(name) ?? []), costs]);
    }
  }
  const base = measured.get("without") ?? [];
  for (const [name, costs] of measured) {
    const ratios = costs.map(({ wall }, i) => wall / (base[i]?.wall ?? NaN)).sort((a, b) => a - b);
    const [least, most] = [ratios[0], ratios.at(-1)].map((ratio) => ratio?.toFixed(3));
    const [wall, cpu] = [costs.map((cost) => cost.wall), costs.map((cost) => cost.cpu)].map(milliseconds);
    console.log(`${name}: a step takes ${wall} ms, ${cpu} ms of the coordinator's CPU time;`);
    console.log(`  ratio to without, ${ratios.length} rounds: ${median(ratios).toFixed(3)} (${least} to ${most})`);
  }
  hanging.resume();
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** Seconds without a step after kill -9 of each process of a pool, and after a trainer that only falls silent. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LocalPool, tinyRun, watchRun } from "@gradpool/integration-tests";
import { median } from "./rounds.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" } } });
const dir = await mkdtemp(join(tmpdir(), "gradpool-recovery-time-"));
const dataset = join(dir, "rows.jsonl");
const rows = Array.from({ length: 4000 }, (_, i) =>
  JSON.stringify({ content: `def f${i}(x):\n    return x * ${i}\n` }),
);
await writeFile(dataset, `${rows.join("\n")}\n`);

/** Steps between two disturbances, so that everything is back to normal. */
const STEPS_BETWEEN = 12;

/** Median seconds from the signal to the next new step. */
async function measure(trainers: number, victims: readonly { name: string; signal: NodeJS.Signals }[]) {
  const flags = ["--trainers", String(trainers), "--threads", "1", "--recovery_seconds", "1"];
  await using pool = await LocalPool.start(join(dir, `home-${trainers}`), flags);
  const runId = await pool.submit(tinyRun(dataset, join(dir, `out-${trainers}`), { gradientAccumulation: 4 }));
  const plan = Array.from({ length: Number(values.rounds) }, () => victims).flat();
  const gaps = new Map<string, number[]>();
  const usual: number[] = [];
  let before = performance.now();
  let disturbed: { what: string; atMs: number; stopped: number | undefined } | undefined;
  let calm = 0;
  const done = new Error("measured");
  try {
    await watchRun(pool.runs, runId, async () => {
      const now = performance.now();
      if (disturbed) {
        const { what, atMs, stopped } = disturbed;
        gaps.set(what, [...(gaps.get(what) ?? []), (now - atMs) / 1000]);
        if (stopped !== undefined) process.kill(stopped, "SIGCONT");
        disturbed = undefined;
        calm = 0;
      } else {
        usual.push((now - before) / 1000);
        calm += 1;
      }
      before = now;
      if (calm < STEPS_BETWEEN) return;
      const victim = plan.shift();
      if (!victim) throw done;
      const { name, signal } = victim;
      const pid = await pool.signal(name, signal);
      const stopped = signal === "SIGSTOP" ? pid : undefined;
      disturbed = { what: `${name} ${signal}`, atMs: performance.now(), stopped };
    });
  } catch (error) {
    if (error !== done) throw error;
  }
  return { gaps, usual: median(usual) };
}

const seconds = (value: number) => `${value.toFixed(2)} s`;

try {
  const services = ["coordinator", "data-stream", "tokenizer", "checkpoint-store"];
  const two = await measure(2, [
    ...[...services, "trainer-1"].map((name) => ({ name, signal: "SIGKILL" as const })),
    { name: "trainer-2", signal: "SIGSTOP" as const },
  ]);
  const one = await measure(1, [{ name: "trainer-1", signal: "SIGKILL" }]);
  console.log(`two trainers, a step usually takes ${seconds(two.usual)}; seconds to the next new step after`);
  for (const [what, values] of two.gaps) console.log(`  ${what}: ${seconds(median(values))}`);
  console.log(`the only trainer, a step usually takes ${seconds(one.usual)}`);
  for (const [what, values] of one.gaps) console.log(`  ${what}: ${seconds(median(values))}`);
} finally {
  await rm(dir, { recursive: true, force: true });
}

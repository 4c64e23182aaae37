/**
 * How long a run stands still when its coordinator is lost: from kill -9 of its owner, one of three, to the next step that a
 * watcher at another one sees. Again and again in one run, at any moment of the lease; the killed one is started again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Coordinators, tinyRun, Workspace } from "@gradpool/integration-tests";
import { quantile } from "./rounds.js";

const { values } = parseArgs({
  options: { tries: { type: "string", default: "50" }, lease: { type: "string", default: "1" } },
});
const tries = Number(values.tries);
const leaseMs = 1000 * Number(values.lease);
const COORDINATORS = [0, 1, 2];

const workspace = await Workspace.create();
const pool = await Coordinators.start({ coordinators: COORDINATORS.length, leaseSeconds: leaseMs / 1000 });
try {
  await pool.addTrainers(2);
  const dataset = await workspace.dataset(400);
  const runId = await pool.submit(
    0,
    tinyRun(dataset, workspace.path("out"), { epochs: 1_000, gradientAccumulation: 2 }),
  );
  /** The newest step that each coordinator's watcher has seen. */
  const newest = COORDINATORS.map(() => 0);
  const watching = COORDINATORS.map((i) => pool.watch(i, runId, ({ step }) => void (newest[i] = step)));
  const until = async (isReached: () => boolean): Promise<void> => {
    while (!isReached()) await delay(2);
  };
  const times: number[] = [];
  while (times.length < tries) {
    const from = Math.max(...newest);
    await until(() => newest.every((step) => step > from + 2));
    await delay(Math.random() * leaseMs);
    const owner = await pool.ownerOf(runId);
    if (owner === undefined) continue;
    const seen = Math.max(...newest);
    const startedAgain = pool.starts(owner);
    const killedAt = performance.now();
    pool.signal(owner, "SIGKILL");
    await until(() => newest.some((step, i) => i !== owner && step > seen));
    times.push((performance.now() - killedAt) / leaseMs);
    await until(() => pool.starts(owner) > startedAgain);
  }
  const shown = (share: number) => quantile(times, share).toFixed(2);
  console.log(`the next step after a coordinator was lost, in leases of ${leaseMs / 1000} s, ${times.length} times:`);
  console.log(`  p50 ${shown(0.5)}, p99 ${shown(0.99)}, longest ${shown(1)}`);
  await pool.client(0).cancelRun({ requestId: "enough", runId });
  await Promise.all(watching);
} finally {
  await pool[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
}

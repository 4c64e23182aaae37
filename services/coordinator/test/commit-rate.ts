/** Commits a second of a PostgreSQL with fsync, from one to five coordinators at once, each of one step or of 32 together. */
import { postgresPrograms, PostgresServer } from "@gradpool/integration-tests";
import { Run, RunState, type StepMetrics } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import type { Clock } from "../src/driver/ports.js";
import { Members } from "../src/members/members.js";
import { parsePostgresUrl } from "../src/store/postgres/address.js";
import { postgresMembers } from "../src/store/postgres/members-table.js";
import { PostgresRunStore } from "../src/store/postgres/postgres-run-store.js";
import type { Change } from "../src/store/run-store.js";

const MEASURED_MS = 4_000;

const log = createLogger("commit-rate", { GRADPOOL_LOG_LEVEL: "silent" });
const clock: Clock = { nowMs: () => performance.now(), sleep: () => new Promise(() => {}) };

/** What a step records. */
function changesOf(runId: string, number: number): Change[] {
  const step: StepMetrics = { step: number, epoch: 0, loss: 1, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 };
  const run = { ...Run.create(), runId, step: number, state: RunState.RUN_STATE_RUNNING };
  const about = { runId, runName: "", trainerId: "", traceparent: "" };
  return [
    { type: "step", runId, step },
    { type: "run", run },
    {
      type: "event",
      event: { runSequence: number, time: new Date(), ...about, payload: { $case: "runStep", value: step } },
    },
    { type: "reported", runId, reported: { events: number, step: number, evaluation: 0, checkpoint: 0 } },
  ];
}

async function measure(url: string, coordinators: number, together: number): Promise<void> {
  const stores = await Promise.all(
    Array.from({ length: coordinators }, () =>
      PostgresRunStore.open(parsePostgresUrl(url, {}), log, (database) =>
        Members.join({ table: postgresMembers(database), leaseMs: 600_000, clock, log }),
      ),
    ),
  );
  const times: number[] = [];
  const endMs = performance.now() + MEASURED_MS;
  await Promise.all(
    stores.map(async (store, place) => {
      for (let number = 1; performance.now() < endMs; number++) {
        const begunMs = performance.now();
        const runs = Array.from({ length: together }, (_, i) => `run-${coordinators}-${together}-${place}-${i}`);
        await store.commit(runs.flatMap((runId) => changesOf(runId, number)));
        times.push(performance.now() - begunMs);
      }
    }),
  );
  times.sort((a, b) => a - b);
  const [rate, median] = [(1000 * times.length) / MEASURED_MS, times[times.length >> 1] ?? 0];
  const what = `${coordinators} coordinators, ${together} steps a commit`;
  const steps = (rate * together).toFixed(0);
  process.stdout.write(
    `${what}: ${rate.toFixed(0)} commits a second, ${steps} steps; median ${median.toFixed(1)} ms\n`,
  );
  await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()));
}

const { skip } = await postgresPrograms();
if (skip) throw new Error(String(skip));
await using server = await PostgresServer.start({ fsync: true });
const url = await server.emptyDatabase();
for (const together of [1, 32]) for (const coordinators of [1, 2, 3, 5]) await measure(url, coordinators, together);

/** A process that commits to a run store, and reports each commit, until it is killed. */
import { createLogger } from "@gradpool/service-kit";
import { openRunStore } from "./open-run-store.js";
import { runNamed } from "./support.js";

const log = createLogger("holder", { GRADPOOL_LOG_LEVEL: "silent" });
const store = await openRunStore(process.argv[2] ?? "", log, { leaseMs: 300 });
const { life } = store.recorded;
for (let i = 1; ; i++) {
  const runId = `run-${life}-${i}`;
  // Large enough to fill many pages, so that a kill may fall between two of them.
  const notes = Array.from({ length: 200 }, (_, line) => `line ${line} of ${runId} ${"and so on ".repeat(20)}`);
  await store.commit([
    { type: "run", run: runNamed(runId, { notes }) },
    { type: "request", requestId: runId, content: "c", subject: runId },
  ]);
  process.send?.(runId);
}

/** A process that commits to a run store until it is killed. */
import { createLogger } from "@gradpool/service-kit";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { runNamed } from "./support.js";

const store = await SqliteRunStore.open(process.argv[2], createLogger("holder", { GRADPOOL_LOG_LEVEL: "silent" }));
for (let i = 1; ; i++) {
  await store.commit([
    { type: "run", run: runNamed(`run-${i}`) },
    { type: "request", requestId: `${i}`, content: "c", subject: `run-${i}` },
  ]);
  if (i === 1) process.send?.("committed");
}

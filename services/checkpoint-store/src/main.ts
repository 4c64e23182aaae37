import { runService } from "@gradpool/service-kit";
import { startCheckpointStore } from "./checkpoint-store.js";
import { readCheckpointStoreConfig } from "./config.js";

await runService("checkpoint-store", (env, log, access) =>
  startCheckpointStore(readCheckpointStoreConfig(env), log, access),
);

import { runService } from "@gradpool/service-kit";
import { CheckpointStore } from "./checkpoint-store.js";
import { readCheckpointStoreConfig } from "./config.js";

await runService("checkpoint-store", (env, log) => CheckpointStore.create(readCheckpointStoreConfig(env), log));

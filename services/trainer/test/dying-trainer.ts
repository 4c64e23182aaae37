/** The trainer as a process whose compute thread dies of its first task. */
import { runService } from "@gradpool/service-kit";
import { readTrainerConfig } from "../src/config.js";
import { startTrainer } from "../src/trainer.js";

const dyingWorker = new URL("./dying-worker.js", import.meta.url);

await runService("trainer", (env, log, access) =>
  startTrainer(readTrainerConfig(env), log, access, () => process.exit(1), dyingWorker),
);

import { runService } from "@gradpool/service-kit";
import { readTrainerConfig } from "./config.js";
import { startTrainer } from "./trainer.js";

/** A trainer without its compute thread is of no use: whoever started it starts another. */
const onCrash = () => process.exit(1);

await runService("trainer", (env, log) => startTrainer(readTrainerConfig(env), log, onCrash));

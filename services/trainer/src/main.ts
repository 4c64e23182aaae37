import { runService } from "@gradpool/service-kit";
import { readTrainerConfig } from "./config.js";
import { startTrainer } from "./trainer.js";

/** A trainer is useless without its compute thread: its supervisor starts another. */
const onCrash = () => process.exit(1);

await runService("trainer", (env, log, access) => startTrainer(readTrainerConfig(env), log, access, onCrash));

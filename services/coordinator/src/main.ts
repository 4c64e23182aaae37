import { runService } from "@gradpool/service-kit";
import { readCoordinatorConfig } from "./config.js";
import { startCoordinator } from "./coordinator.js";

// A coordinator that cannot go on ends at once: what counts is recorded, and its successor takes it up.
const onCrash = () => process.exit(1);
await runService("coordinator", (env, log) => startCoordinator(readCoordinatorConfig(env), log, { onCrash }));

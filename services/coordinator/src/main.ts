import { runService } from "@gradpool/service-kit";
import { readCoordinatorConfig } from "./config.js";
import { startCoordinator } from "./coordinator.js";

// A coordinator that cannot continue exits at once: its state is recorded, and the next one resumes it.
const onCrash = () => process.exit(1);
await runService("coordinator", (env, log, access) =>
  startCoordinator(readCoordinatorConfig(env), log, { access, onCrash }),
);

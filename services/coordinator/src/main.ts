import { runService } from "@gradpool/service-kit";
import { readCoordinatorConfig } from "./config.js";
import { Coordinator } from "./coordinator.js";

await runService("coordinator", (env, log) => Coordinator.create(readCoordinatorConfig(env), log));

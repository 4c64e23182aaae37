import { runService } from "@gradpool/service-kit";
import { readDataStreamConfig } from "./config.js";
import { startDataStream } from "./data-stream.js";

await runService("data-stream", (env, log, access) => startDataStream(readDataStreamConfig(env), log, access));

import { runService } from "@gradpool/service-kit";
import { readDataStreamConfig } from "./config.js";
import { DataStream } from "./data-stream.js";

await runService("data-stream", (env, log) => DataStream.create(readDataStreamConfig(env), log));

import { runService } from "@gradpool/service-kit";
import { readTokenizerConfig } from "./config.js";
import { TokenizerServer } from "./tokenizer-server.js";

await runService("tokenizer", (env, log) => TokenizerServer.create(readTokenizerConfig(env), log));

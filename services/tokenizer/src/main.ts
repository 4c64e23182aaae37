import { runService } from "@gradpool/service-kit";
import { readTokenizerConfig } from "./config.js";
import { startTokenizer } from "./tokenizer-server.js";

await runService("tokenizer", (env, log, access) => startTokenizer(readTokenizerConfig(env), log, access));

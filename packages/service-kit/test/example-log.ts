/** Logs a line outside of a span, and one with an error within. */
import { createLogger } from "@gradpool/service-kit";
import { inSpan, startTracing } from "@gradpool/tracing";

const tracing = await startTracing("example", process.env, () => {});
const log = createLogger("example", process.env);
log.info({ modelId: "\u001b[31m\nred" }, "outside with a-secret-token");
await inSpan("span", {}, async () => log.error({ runId: "run-1", err: new Error("broken") }, "inside"));
await tracing[Symbol.asyncDispose]();

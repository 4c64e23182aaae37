/**
 * Submits a run, follows it to its end and cancels it on Ctrl-C.
 *
 *     npm install && npm run build
 *     node dist/train.js 127.0.0.1:7070 --model_id PATH --dataset 'data/*.jsonl' --output_dir out
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { accessSources, findCertificates, findKey } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import { createClient, Recipe, RunServiceService, RunState, withKey, type Client, type Run } from "@gradpool/rpc";

/** The coordinator is down or stopping, or the connection broke: the same request may be sent again. */
const AGAIN = ["unavailable", "deadline_exceeded", "cancelled"];
const CALL_MS = 10_000;
/** CancelRun answers when the run has ended. */
const CANCEL_MS = 60_000;
const ENDED = [RunState.RUN_STATE_COMPLETED, RunState.RUN_STATE_FAILED, RunState.RUN_STATE_CANCELLED];

/** Repeats a write until it is answered: with the same request_id it has one effect, however often it arrives. */
async function retried<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!AGAIN.includes(GradpoolError.from(error).code)) throw error;
      await delay(1_000);
    }
  }
}

/** Prints what happens to the run and returns it as it ended; if the call breaks, continues after the last step seen. */
async function follow(runs: Client<RunServiceService>, runId: string): Promise<Run> {
  let run: Run | undefined;
  let step = 0;
  const watch = async () => {
    for await (const { update } of runs.watchRun({ runId, afterStep: step })) {
      if (update?.$case === "run") {
        run = update.value;
        console.log(run.state, run.pausedBecause || run.preparing);
      } else if (update?.$case === "step") {
        step = update.value.step;
        console.log(`step ${step}/${run?.totalSteps} loss ${update.value.loss.toFixed(4)}`);
      }
    }
  };
  for (;;) {
    await retried(watch);
    if (run && ENDED.includes(run.state)) return run;
    await delay(1_000);
  }
}

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    model_id: { type: "string", default: "" },
    dataset: { type: "string", multiple: true, default: [] },
    output_dir: { type: "string", default: "" },
    run_name: { type: "string", default: "" },
    recipe: { type: "string" },
  },
});
const recipe = flags.recipe ? Recipe.fromJSON(JSON.parse(await readFile(flags.recipe, "utf8"))) : defaultRecipe();
const { model_id: modelId, dataset, output_dir: outputDir, run_name: runName } = flags;
const spec = { ...NEW_START, modelId, dataset, outputDir, runName, recipe };

const address = positionals[0] ?? "127.0.0.1:7070";
// Key and certificates that the environment names, or those of a pool of this machine.
const access = accessSources(process.env);
const key = withKey(() => findKey(access, address));
const runs = createClient(RunServiceService, address, [key], findCertificates(access, address));
try {
  const request = { requestId: randomUUID(), spec };
  const submitted = await retried(() => runs.submitRun(request, { timeoutMs: CALL_MS }));
  const { runId = "" } = submitted.run ?? {};
  console.log("run", runId);
  process.on("SIGINT", () => {
    const wish = { requestId: randomUUID(), runId };
    retried(() => runs.cancelRun(wish, { timeoutMs: CANCEL_MS })).catch((error: unknown) =>
      console.error(GradpoolError.from(error).message),
    );
  });
  const { state, error } = await follow(runs, runId);
  if (error) console.error(`${error.code}: ${error.message}`);
  process.exitCode = state === RunState.RUN_STATE_COMPLETED ? 0 : 1;
} catch (reason) {
  const { code, message } = GradpoolError.from(reason);
  console.error(`${code}: ${message}`);
  process.exitCode = 1;
} finally {
  runs.close();
}

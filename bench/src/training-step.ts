/** Steps of one trainer. Prints one JSON line. peft.py does the same with PEFT. */
import { parseArgs } from "node:util";
import { BASE_PRECISIONS } from "@gradpool/models";
import { gpt2SmallFolder, gpt2SmallWithDropout } from "./gpt2-small.js";
import { median } from "./rounds.js";
import { measured, openStep, type Costs } from "./step.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    steps: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    dropout: { type: "string", default: "0" },
    "model-dropout": { type: "boolean", default: false },
    "gradient-checkpointing": { type: "boolean", default: false },
    dora: { type: "boolean", default: false },
    dtype: { type: "string", default: "float32" },
    "base-precision": { type: "string", default: "float32" },
  },
});
const { "model-dropout": modelDropout, "gradient-checkpointing": gradientCheckpointing, dora } = values;
const basePrecision = BASE_PRECISIONS.find((name) => name === values["base-precision"]);
if (!basePrecision) throw new Error(`--base-precision is one of ${BASE_PRECISIONS.join(", ")}`);

const started = performance.now();
const folder = values.model ?? (await (modelDropout ? gpt2SmallWithDropout() : gpt2SmallFolder()));
await using step = await openStep(folder, {
  threads: Number(values.threads),
  dropout: Number(values.dropout),
  float16: values.dtype === "float16",
  ...{ modelDropout, gradientCheckpointing, dora, basePrecision },
});
const [costs, losses]: [Costs[], number[]] = [[], []];
for (let number = 1; number <= Number(values.steps); number++) {
  costs.push(await measured(async () => losses.push(await step.run(number))));
}
const { loadSeconds, targetTokens } = step;
const steady = costs.slice(1);
const seconds = steady.map(({ wall }) => wall);
const result = {
  best_step_seconds: Math.min(...seconds),
  cpu_seconds_per_step: median(steady.map(({ cpu }) => cpu)),
  tokens_per_second: targetTokens / median(seconds),
  load_seconds: loadSeconds,
  first_step_seconds: costs[0]?.wall,
  seconds_to_first_step_done: loadSeconds + (costs[0]?.wall ?? NaN),
  peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
  loss_first: losses[0],
  whole_seconds: (performance.now() - started) / 1000,
};
console.log(JSON.stringify(result));

/** What LoRA dropout costs: one trainer's step with and without it, in turn. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const run = promisify(execFile);
const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, steps: { type: "string", default: "8" } },
});
const script = fileURLToPath(new URL("./training-step.js", import.meta.url));

async function secondsPerStep(dropout: string): Promise<number> {
  const { stdout } = await run(process.execPath, [script, "--steps", values.steps, "--dropout", dropout]);
  return 1024 / (JSON.parse(stdout) as { tokens_per_second: number }).tokens_per_second;
}

const costs: number[] = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  const without = await secondsPerStep("0");
  const with5 = await secondsPerStep("0.05");
  costs.push(with5 / without - 1);
  console.log(
    `${round}  ${without.toFixed(2)} s without, ${with5.toFixed(2)} s with dropout: ${(100 * (with5 / without - 1)).toFixed(1)} %`,
  );
}
console.log(`dropout costs ${(100 * (costs.sort((a, b) => a - b)[costs.length >> 1] ?? NaN)).toFixed(1)} % of a step`);

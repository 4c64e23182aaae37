/** Where a run may be reported besides its output folder. */
import { GradpoolError } from "@gradpool/errors";
import { visible } from "@gradpool/format";
import type { RunSpec } from "@gradpool/rpc";

export const MLFLOW = "mlflow";
const NONE = "none";
const KNOWN: readonly string[] = [MLFLOW, "tensorboard", NONE];

/** For programs whose own format is not public (docs/decisions/0040-reports-to-mlflow.md). */
const ADVICE: Readonly<Record<string, string>> = {
  wandb:
    "cannot be wandb: neither its HTTP interface nor its offline folder is documented; give metrics.json to its Python client, as " +
    "docs/reports.md shows",
};

/** transformers' report_to, as far as gradpool knows the programs. Errors: `invalid_argument`. */
export function checkReportTo({ reportTo }: Pick<RunSpec, "reportTo">): void {
  for (const [i, name] of reportTo.entries()) {
    if (!KNOWN.includes(name))
      throw refusal(ADVICE[name] ?? `must be some of ${KNOWN.join(", ")}, not "${visible(name)}"`);
    if (reportTo.indexOf(name) !== i) throw refusal(`has ${name} twice; name it once`);
  }
  if (reportTo.includes(NONE) && reportTo.length > 1) throw refusal(`has ${NONE} beside others; leave out ${NONE}`);
}

const refusal = (problem: string) => new GradpoolError("invalid_argument", `report_to ${problem}`);

/** Checks as people and programs read them. */
import { GradpoolError } from "@gradpool/errors";
import { facts } from "../terminal/format.js";
import type { Output } from "../terminal/output.js";
import type { Check } from "./checks.js";

const MARKS: Record<Check["state"], string> = { ok: "", note: "note: ", problem: "PROBLEM: " };

/** Errors: `failed_precondition`, with `failed` and the names of the checks, when there is a problem. */
export async function sayChecks(
  checks: readonly (readonly [name: string, check: Check | Promise<Check>])[],
  failed: string,
  output: Output,
): Promise<void> {
  const results = await Promise.all(checks.map(async ([name, check]) => ({ name, ...(await check) })));
  output.say(facts(results.map(({ name, state, text }) => [name, `${MARKS[state]}${text}`])));
  const problems = results.filter(({ state }) => state === "problem");
  if (problems.length === 0) {
    output.document({ ok: true, checks: results });
    return;
  }
  output.failWith({ ok: false, checks: results });
  const names = [...new Set(problems.map(({ name }) => name))].join(", ");
  throw new GradpoolError("failed_precondition", `${failed}; fix ${names} above`);
}

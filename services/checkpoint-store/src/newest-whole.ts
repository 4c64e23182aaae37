import { GradpoolError } from "@gradpool/errors";
import { savedAtMs, stepOf, type Found } from "./found.js";

/** More damaged checkpoints are not reported. */
const MAX_REPORTED = 100;
/** More are not named in a message. */
const MAX_NAMED = 10;

/** The checkpoint to resume from, and newer damaged ones that were skipped. */
export interface Chosen {
  chosen: Found;
  damaged: Found[];
}

/**
 * Of `found`, the newest by time that `check` finds whole; with `runId`, the one of that run with the most
 * steps. A checkpoint whose manifest cannot be read has no run and no time: it counts as skipped
 * when its name claims as many steps. Errors: `not_found`; `data_loss` when there are only damaged ones.
 */
export async function newestWhole(
  folder: string,
  found: readonly Found[],
  runId: string,
  check: (found: Found) => Promise<Found | undefined>,
): Promise<Chosen> {
  const unreadable = found.filter(({ manifest }) => !manifest);
  const passedOver: Found[] = [];
  for (const candidate of candidates(found, runId)) {
    // Checked before the first piece is sent: what was sent to a client cannot be taken back.
    const checked = await check(candidate);
    if (!checked) continue;
    if (checked.damage) {
      passedOver.push(checked);
      continue;
    }
    const promising = unreadable.filter((other) => stepOf(other) >= stepOf(checked));
    return { chosen: checked, damaged: [...promising, ...passedOver].slice(0, MAX_REPORTED) };
  }
  throw nothingWhole(folder, runId, [...unreadable, ...passedOver]);
}

function candidates(found: readonly Found[], runId: string): Found[] {
  const readable = found.filter(({ manifest }) => manifest && (runId === "" || manifest.runId === runId));
  const byTime = (a: Found, b: Found) => savedAtMs(b) - savedAtMs(a);
  const bySteps = (a: Found, b: Found) => stepOf(b) - stepOf(a);
  return readable.sort(
    runId === "" ? (a, b) => byTime(a, b) || bySteps(a, b) : (a, b) => bySteps(a, b) || byTime(a, b),
  );
}

function nothingWhole(folder: string, runId: string, damaged: readonly Found[]): GradpoolError {
  const whose = runId === "" ? "" : ` of run ${runId}`;
  if (damaged.length === 0) {
    const advice = runId === "" ? "set --save_every when training" : "start it from the beginning";
    return new GradpoolError("not_found", `output_dir ${folder} has no checkpoint${whose}; ${advice}`);
  }
  const listed = damaged.slice(0, MAX_NAMED).map(({ name, damage }) => `${name}: ${damage}`);
  if (damaged.length > MAX_NAMED) listed.push(`${damaged.length - MAX_NAMED} more`);
  const what = `has only damaged checkpoints${whose} (${listed.join("; ")})`;
  return new GradpoolError("data_loss", `output_dir ${folder} ${what}; copy one again`);
}

/** The list of runs, newest first, in pages as https://google.aip.dev/158 has them. */
import { GradpoolError } from "@gradpool/errors";
import {
  MAX_RUN_NAME_CHARACTERS,
  MAX_TAGS,
  Run,
  RunView,
  type ListRunsRequest,
  type ListRunsResponse,
} from "@gradpool/rpc";
import type { RunRecord } from "./run-record.js";

const DEFAULT_PAGE_RUNS = 100;
const MAX_PAGE_RUNS = 1_000;

/** A client receives 4 MiB at most, and one run may have 2. */
const MAX_PAGE_BYTES = 1 << 20;

/** `records`: in order of submission. Errors: `invalid_argument`. */
export function pageOf(records: readonly RunRecord[], request: ListRunsRequest): ListRunsResponse {
  const { pageSize, pageToken, view } = request;
  if (!Number.isSafeInteger(pageSize) || pageSize < 0) {
    throw new GradpoolError("invalid_argument", "page_size must be a whole number from 0");
  }
  const maxRuns = Math.min(pageSize || DEFAULT_PAGE_RUNS, MAX_PAGE_RUNS);
  const isWanted = filterOf(request);
  const runs: Run[] = [];
  let sizeBytes = 0;
  for (let i = pageToken === "" ? records.length - 1 : placeOf(records, pageToken); i >= 0; i--) {
    const record = records[i];
    if (!record || !isWanted(record.recorded)) continue;
    const shown = view === RunView.RUN_VIEW_BASIC ? basicOf(record.recorded) : record.recorded;
    sizeBytes += sizeOf(shown);
    const isFull = runs.length === maxRuns || (sizeBytes > MAX_PAGE_BYTES && runs.length > 0);
    if (isFull) return { runs, nextPageToken: tokenOf(record.recorded) };
    runs.push({ ...shown, ...record.doing });
  }
  return { runs, nextPageToken: "" };
}

/** Whether a run is one of those that are asked for. Errors: `invalid_argument`. */
function filterOf({ states, runName, tags }: ListRunsRequest): (run: Run) => boolean {
  const tooLong =
    [...runName].length > MAX_RUN_NAME_CHARACTERS ? "run_name" : tags.length > MAX_TAGS ? "tags" : undefined;
  if (tooLong) {
    const bounds = `a name has at most ${MAX_RUN_NAME_CHARACTERS} characters, and a run ${MAX_TAGS} tags`;
    throw new GradpoolError("invalid_argument", `${tooLong} fits no run: ${bounds}`);
  }
  const part = runName.toLowerCase();
  return ({ state, spec }) => {
    if (states.length > 0 && !states.includes(state)) return false;
    if (part !== "" && !spec?.runName.toLowerCase().includes(part)) return false;
    return tags.every((tag) => spec?.tags.includes(tag));
  };
}

/** Of records as they are, each of which is replaced when it changes. */
const basics = new WeakMap<Run, Run>();
const sizes = new WeakMap<Run, number>();

function basicOf(run: Run): Run {
  const { spec } = run;
  const known = basics.get(run);
  if (known) return known;
  const short = spec && { ...spec, dataset: spec.dataset.slice(0, 1), evalDataset: [], recipe: undefined };
  const basic = { ...run, spec: short };
  basics.set(run, basic);
  return basic;
}

function sizeOf(run: Run): number {
  const size = sizes.get(run) ?? Run.encode(run).finish().byteLength;
  sizes.set(run, size);
  return size;
}

/** Names the first run of the next page, and its time, in case it is deleted before that is asked for. */
const tokenOf = ({ runId, submittedAt }: Run): string =>
  Buffer.from(`${submittedAt?.getTime() ?? 0} ${runId}`).toString("base64url");

/** Errors: `invalid_argument`. */
function placeOf(records: readonly RunRecord[], token: string): number {
  const [, time, runId] = /^(\d{1,16}) (.+)$/.exec(Buffer.from(token, "base64url").toString()) ?? [];
  if (time === undefined) {
    throw new GradpoolError("invalid_argument", "page_token is not one that ListRuns gave; leave it empty to begin");
  }
  const place = records.findLastIndex(({ recorded }) => recorded.runId === runId);
  if (place >= 0) return place;
  return records.findLastIndex(({ recorded }) => (recorded.submittedAt?.getTime() ?? 0) <= Number(time));
}

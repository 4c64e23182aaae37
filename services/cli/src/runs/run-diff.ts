/** Where two runs differ: in their settings, their inputs, and their losses. */
import { isDeepStrictEqual } from "node:util";
import type { RunHistory } from "./run-history.js";

export interface ValueDiff {
  name: string;
  /** Undefined: that run has none. */
  a: unknown;
  b: unknown;
}

export interface Place {
  step: number;
  a: number;
  b: number;
}

export interface LossDiff {
  /** Steps (or evaluations) that both have. */
  common: number;
  /** Of these, from the first on, with the same bits. */
  equal: number;
  /** Undefined: all that both have are the same. */
  firstDifference: Place | undefined;
  /** Where they differ most. */
  largestDifference: Place | undefined;
  /** The last of each; undefined: it has none. */
  last: { a: Loss | undefined; b: Loss | undefined };
}

export interface RunDiff {
  /** Nothing that both report differs. */
  same: boolean;
  settings: ValueDiff[];
  /** Undefined: one of them shows no receipt. */
  receipt: ValueDiff[] | undefined;
  losses: LossDiff;
  evaluations: LossDiff;
}

type Loss = RunHistory["evaluations"][number];

export function diffRuns(a: RunHistory, b: RunHistory): RunDiff {
  const settings = diffValues(a.settings, b.settings);
  const receipt = a.receipt && b.receipt && diffValues(a.receipt, b.receipt);
  const losses = diffLosses(a.steps, b.steps);
  const evaluations = diffLosses(a.evaluations, b.evaluations);
  const isSame = ({ firstDifference, last }: LossDiff) => !firstDifference && last.a?.step === last.b?.step;
  const same = settings.length === 0 && !receipt?.length && isSame(losses) && isSame(evaluations);
  return { same, settings, receipt, losses, evaluations };
}

function diffValues(a: Record<string, unknown>, b: Record<string, unknown>): ValueDiff[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.filter((name) => !isDeepStrictEqual(a[name], b[name])).map((name) => ({ name, a: a[name], b: b[name] }));
}

/** By step. NaN equals NaN. */
function diffLosses(a: readonly Loss[], b: readonly Loss[]): LossDiff {
  const theirs = new Map(b.map(({ step, loss }) => [step, loss]));
  const common = a.flatMap(({ step, loss }) => {
    const other = theirs.get(step);
    return other === undefined ? [] : [{ step, a: loss, b: other }];
  });
  const first = common.findIndex((place) => !Object.is(place.a, place.b));
  const distance = (place: Place) => (Object.is(place.a, place.b) ? 0 : Math.abs(place.a - place.b));
  return {
    common: common.length,
    equal: first < 0 ? common.length : first,
    firstDifference: common[first],
    largestDifference:
      first < 0
        ? undefined
        : common.reduce<Place | undefined>(
            (far, one) => (!far || distance(one) > distance(far) ? one : far),
            undefined,
          ),
    last: { a: lastOf(a), b: lastOf(b) },
  };
}

function lastOf(losses: readonly Loss[]): Loss | undefined {
  const last = losses.at(-1);
  return last && { step: last.step, loss: last.loss };
}

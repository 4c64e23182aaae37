/** How each of several runs looks and what it is called, in pictures and on the dashboard. */

/** Distinct for colour-blind readers, too: after all colours are used, the line style changes. */
export const RUN_COLORS = ["#2563eb", "#d97706", "#047857", "#b91c1c", "#7c3aed", "#52606d"] as const;
const LINE_TYPES = ["solid", "dashed", "dotted"] as const;

/** The same in each panel. */
export interface RunLook {
  color: string;
  lineType: (typeof LINE_TYPES)[number];
}

/** Of the run at that place among those that are compared. */
export function lookOf(index: number): RunLook {
  return {
    color: RUN_COLORS[index % RUN_COLORS.length]!,
    lineType: LINE_TYPES[Math.floor(index / RUN_COLORS.length) % LINE_TYPES.length]!,
  };
}

export interface NamedRun {
  /** Empty: it has none. */
  runName: string;
  /** What tells it from others of its name, such as its id. */
  distinction: string;
}

/** What to call each of several runs: by its name, unless that is another's, too. */
export function labelsOf(runs: readonly NamedRun[]): string[] {
  return runs.map(({ runName, distinction }) => {
    if (runName === "") return distinction;
    const isShared = runs.filter((other) => other.runName === runName).length > 1;
    return isShared ? `${runName} (${distinction})` : runName;
  });
}

/** More would look alike. */
export const MAX_PLOTTED_RUNS = 18;

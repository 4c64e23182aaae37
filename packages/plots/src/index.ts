export { labelsOf, lookOf, MAX_PLOTTED_RUNS, RUN_COLORS } from "./look.js";
export { PLOTS, type PlotName } from "./names.js";
export type { PlottedEvaluation, PlottedRun, PlottedStep } from "./plotted-run.js";
export { PLOT_HEIGHT, PLOT_WIDTH } from "./style.js";

/** What draws; the rest of this package also runs in a browser. Loading it takes as long as all else that a command needs to start. */
export const loadDrawing = () => import("./drawing.js");

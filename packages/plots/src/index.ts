export { MAX_PLOTTED_RUNS, PLOTS, type PlotName } from "./names.js";
export type { PlottedEvaluation, PlottedRun, PlottedStep } from "./plotted-run.js";
export { PLOT_HEIGHT, PLOT_WIDTH } from "./style.js";

/** What draws. Loading it takes as long as all else that a command needs to start. */
export const loadDrawing = () => import("./drawing.js");

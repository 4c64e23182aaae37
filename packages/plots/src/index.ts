export { MAX_PLOTTED_RUNS, PLOTS, plotSvg, type PlotName } from "./plot.js";
export type { PlottedEvaluation, PlottedRun, PlottedStep } from "./plotted-run.js";
export { rasterize } from "./render.js";
export { PLOT_HEIGHT, PLOT_WIDTH } from "./style.js";

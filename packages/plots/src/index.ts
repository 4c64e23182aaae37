export {
  renderLossPlot,
  PLOT_HEIGHT,
  PLOT_WIDTH,
  type LossPlot,
  type PlottedEvaluation,
  type PlottedStep,
} from "./loss-plot.js";

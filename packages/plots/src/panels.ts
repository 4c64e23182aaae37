/** The quantities that are drawn, each in a panel of a picture. */
import { count } from "@gradpool/format";
import type { PlottedRun, PlottedStep } from "./plotted-run.js";
import type { Quantity } from "./style.js";

export interface Panel extends Quantity {
  /** Of its line in the legend. */
  legend: string;
  color: string;
  /** Of the raw values under its smoothed line. */
  faintColor: string;
  /** It is noisy: from some number of steps on, it is smoothed. */
  isSmoothed: boolean;
  valueOf: (step: PlottedStep) => number;
  /** Points of another kind on the same axis. */
  evaluationsOf?: (run: PlottedRun) => PlottedRun["evaluations"];
}

const lossText = (value: number) => String(Number(value.toPrecision(6)));

/** 0.0005 as 5e-4. */
const rateText = (value: number) => (value === 0 ? "0" : String(Number(value.toPrecision(3)).toExponential()));

const speedText = (value: number) => count(Number(value.toPrecision(6)));

/** The loss need not be seen against zero; the others do. */
export const LOSS: Panel = {
  name: "loss (nats per token)",
  legend: "loss",
  color: "#2563eb",
  faintColor: "#a9c4f5",
  label: lossText,
  fromZero: false,
  isSmoothed: true,
  valueOf: ({ loss }) => loss,
  evaluationsOf: ({ evaluations }) => evaluations,
};

export const LEARNING_RATE: Panel = {
  name: "learning rate",
  legend: "learning rate",
  color: "#d97706",
  faintColor: "#f3cd9b",
  label: rateText,
  fromZero: true,
  isSmoothed: false,
  valueOf: ({ learningRate }) => learningRate,
};

export const THROUGHPUT: Panel = {
  name: "target tokens per second",
  legend: "tokens per second",
  color: "#047857",
  faintColor: "#9fd5c1",
  label: speedText,
  fromZero: true,
  isSmoothed: true,
  // Without elapsed time there is no speed.
  valueOf: ({ tokens, seconds }) => (seconds > 0 ? tokens / seconds : NaN),
};

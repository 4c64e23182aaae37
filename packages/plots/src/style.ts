/** What all plots have in common: font, colours, axes. */
import { count } from "@gradpool/format";

export const FONT_FAMILY = "DejaVu Sans";

export const PLOT_WIDTH = 1000;
export const PLOT_HEIGHT = 560;

export const INK = "#1f2933";
export const QUIET_INK = "#52606d";
const RULE = "#e4e7eb";
const AXIS = "#9aa5b1";

const axisText = (fontSize: number) => ({ fontFamily: FONT_FAMILY, fontSize, color: QUIET_INK });

/** The steps from 0 on, under the panel of that index. */
export function stepAxis(gridIndex: number, lastStep: number, labelled: boolean): object {
  return {
    type: "value",
    gridIndex,
    min: 0,
    max: Math.max(2, lastStep),
    minInterval: 1,
    name: labelled ? "step" : "",
    nameLocation: "middle",
    nameGap: 32,
    nameTextStyle: axisText(14),
    axisLabel: {
      ...axisText(13),
      show: labelled,
      hideOverlap: true,
      formatter: count,
    },
    axisLine: { show: true, onZero: false, lineStyle: { color: AXIS } },
    axisTick: { show: labelled, lineStyle: { color: AXIS } },
    splitLine: { show: false },
  };
}

/** How a quantity's axis is drawn. */
export interface Quantity {
  /** With its unit. */
  name: string;
  label: (value: number) => string;
  /** Its axis begins at 0. */
  fromZero: boolean;
}

export function valueAxis(gridIndex: number, { name, label, fromZero }: Quantity, splitNumber: number): object {
  return {
    type: "value",
    gridIndex,
    scale: !fromZero,
    splitNumber,
    name,
    nameLocation: "middle",
    nameGap: 60,
    nameTextStyle: axisText(14),
    axisLabel: { ...axisText(13), formatter: label },
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: RULE } },
  };
}

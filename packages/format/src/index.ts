export { bytes, count, counted, duration, localTime } from "./numbers.js";
export { rowLines, rowsText, trainedRowLines, type RowCounts } from "./row-counts.js";
export { visible, visibleLines } from "./visible.js";

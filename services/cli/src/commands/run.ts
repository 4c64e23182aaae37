/** The commands of gradpool run. */
import type { Command } from "commander";
import type { ProgramOptions } from "../command-options.js";
import { addRunControls } from "./run-control.js";
import { addRunDelete } from "./run-delete.js";
import { addRunDiff } from "./run-diff.js";
import { addRunGet } from "./run-get.js";
import { addRunList } from "./run-list.js";
import { addRunLogs } from "./run-logs.js";
import { addRunPlot } from "./run-plot.js";
import { addRunSubmit } from "./run-submit.js";
import { addRunTrace } from "./run-trace.js";
import { addRunWatch } from "./run-watch.js";

export function addRun(group: Command, options: ProgramOptions): void {
  addRunSubmit(group, options);
  addRunList(group, options);
  addRunGet(group, options);
  addRunTrace(group, options);
  addRunWatch(group, options);
  addRunLogs(group, options);
  addRunControls(group, options);
  addRunDelete(group, options);
  addRunPlot(group, options);
  addRunDiff(group, options);
}

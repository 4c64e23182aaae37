/** The command line's commands, each a file in commands that adds itself. */
import { Command } from "commander";
import { HELP_TAIL, type ProgramOptions } from "./command-options.js";
import { addCheckpointDelete } from "./commands/checkpoint-delete.js";
import { addCheckpointExport } from "./commands/checkpoint-export.js";
import { addCheckpointList } from "./commands/checkpoint-list.js";
import { addCheckpointVerify } from "./commands/checkpoint-verify.js";
import { addCompletion } from "./commands/completion.js";
import { addConfigCheck } from "./commands/config-check.js";
import { addConfigShow } from "./commands/config-show.js";
import { addDoctor } from "./commands/doctor.js";
import { addEval } from "./commands/eval.js";
import { addEventsTail } from "./commands/events-tail.js";
import { addExport } from "./commands/export.js";
import { addPoolBackup } from "./commands/pool-backup.js";
import { addPoolStatus } from "./commands/pool-status.js";
import { addRunControls } from "./commands/run-control.js";
import { addRunDiff } from "./commands/run-diff.js";
import { addRunGet } from "./commands/run-get.js";
import { addRunList } from "./commands/run-list.js";
import { addRunLogs } from "./commands/run-logs.js";
import { addRunPlot } from "./commands/run-plot.js";
import { addRunSubmit } from "./commands/run-submit.js";
import { addRunTrace } from "./commands/run-trace.js";
import { addRunWatch } from "./commands/run-watch.js";
import { addSample } from "./commands/sample.js";
import { addTop } from "./commands/top.js";
import { addTrain } from "./commands/train.js";
import { addTrainerControls } from "./commands/trainer-control.js";
import { addTrainerList } from "./commands/trainer-list.js";
import { addUp } from "./commands/up.js";

type Add = (parent: Command, options: ProgramOptions) => void;

export function createProgram(options: ProgramOptions): Command {
  const program = new Command("gradpool")
    .description("Fine-tune language models with LoRA on a shared pool of trainers.")
    .version(options.version, "-V, --version")
    .addHelpText("after", `\nFor more about a command: gradpool COMMAND --help\n${HELP_TAIL}`);
  const group = (name: string, description: string, ...commands: readonly Add[]) => {
    const parent = program.command(name).description(description).helpCommand(false);
    for (const add of commands) add(parent, options);
  };
  const train = addTrain(program, options);
  addUp(program, options);
  group(
    "run",
    "submit, follow and control runs of a running pool",
    ...[
      addRunSubmit,
      addRunList,
      addRunGet,
      addRunTrace,
      addRunWatch,
      addRunLogs,
      addRunControls,
      addRunPlot,
      addRunDiff,
    ],
  );
  group("trainer", "list, drain and undrain trainers", addTrainerList, addTrainerControls);
  group("pool", "show and back up a running pool", addPoolStatus, addPoolBackup);
  group("events", "follow the events of a running pool", addEventsTail);
  addTop(program, options);
  group(
    "checkpoint",
    "list, check, export and delete checkpoints",
    ...[addCheckpointList, addCheckpointVerify, addCheckpointDelete, addCheckpointExport],
  );
  addSample(program, options);
  addEval(program, options);
  addExport(program, options);
  addDoctor(program, options);
  group("config", "show and check configuration and profiles", addConfigShow, (parent) =>
    addConfigCheck(parent, train, options),
  );
  addCompletion(program, options);
  return program;
}

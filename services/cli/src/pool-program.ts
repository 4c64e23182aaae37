/** The commands that talk to a running pool: run, trainer and pool. */
import { Option, type Command } from "commander";
import { addConfigFlag } from "./common-flags.js";
import { contextFor, HELP_TAIL, addRunFlags, JSON_LINES, jsonOption, onAddress, onPool } from "./command-options.js";
import type { OutputFlags, ProgramOptions } from "./command-options.js";
import { poolBackup } from "./commands/pool-backup.js";
import { poolStatus } from "./commands/pool-status.js";
import { runControl, type RunAction } from "./commands/run-control.js";
import { runDiff } from "./commands/run-diff.js";
import { runGet } from "./commands/run-get.js";
import { runList } from "./commands/run-list.js";
import { PICTURE_FORMATS, PLOTTED, runPlot, type RunPlotFlags } from "./commands/run-plot.js";
import { runLogs } from "./commands/run-logs.js";
import { runSubmit, type RunSubmitFlags } from "./commands/run-submit.js";
import { runTrace } from "./commands/run-trace.js";
import { runWatch } from "./commands/run-watch.js";
import { top, type TopFlags } from "./commands/top.js";
import { trainerControl, type TrainerAction } from "./commands/trainer-control.js";
import { trainerList } from "./commands/trainer-list.js";
import { oneOf } from "./flags.js";

const SUBMIT_EXAMPLES = `
Examples:
  gradpool run submit --model_id models/tiny-coder --dataset src
  gradpool run submit --address 10.0.0.5:7070 --model_id /models/gpt2 --dataset /data/rows.jsonl --watch
${HELP_TAIL}`;

interface PoolFlags {
  address: string;
  json?: boolean;
}

export function addRun(program: Command, options: ProgramOptions): void {
  const run = program.command("run").description("submit, follow and control runs of a running pool");
  run.helpCommand(false);
  addRunSubmit(run, options);
  onPool(run.command("list").description("all runs, newest first"), options).action((flags: PoolFlags) =>
    runList(flags, contextFor(flags, options)),
  );
  onPool(run.command("get").description("all that is known of a run").argument("<run_id>"), options).action(
    (runId: string, flags: PoolFlags) => runGet(runId, flags, contextFor(flags, options)),
  );
  const trace = run.command("trace").description("link to the trace of a run, in the Jaeger of $GRADPOOL_JAEGER_URL");
  onPool(trace.argument("<run_id>"), options).action((runId: string, flags: PoolFlags) =>
    runTrace(runId, flags, contextFor(flags, options)),
  );
  const watch = run.command("watch").description("follow a run to its end; Ctrl-C leaves it running");
  onPool(watch.argument("<run_id>"), options, jsonOption(JSON_LINES)).action((runId: string, flags: PoolFlags) =>
    runWatch(runId, flags, contextFor(flags, options)),
  );
  const logs = run.command("logs").description("what happened to a run, in words").argument("<run_id>");
  onPool(logs.option("--follow", "go on until the run has ended"), options, jsonOption(JSON_LINES)).action(
    (runId: string, flags: PoolFlags & { follow?: boolean }) => runLogs(runId, flags, contextFor(flags, options)),
  );
  const addControl = (action: RunAction, description: string) =>
    onPool(run.command(action).description(description).argument("<run_id>"), options).action(
      (runId: string, flags: PoolFlags) => runControl(action, runId, flags, contextFor(flags, options)),
    );
  addControl("pause", "let a run rest; its trainers are free for others at once");
  addControl("resume", "let a paused run go on where it was");
  addControl("cancel", "stop a run; what it saved stays");
  addRunPlot(run, options);
  addRunDiff(run, options);
}

const PLOT_HELP = `
A RUN is the id of a run of the pool, or an output folder, which needs no pool. Several are compared in one picture.

Examples:
  gradpool run plot outputs/my-run
  gradpool run plot outputs/rank-8 outputs/rank-16 --what all --format svg --to pictures
  gradpool run plot RUN_ID --what learning_rate --to rate.png
${HELP_TAIL}`;

function addRunPlot(run: Command, options: ProgramOptions): void {
  const command = run.command("plot").description("draw runs, also while they go on").argument("<run...>");
  onPool(command, options)
    .addOption(new Option("--what <quantity>", PLOTTED.join(", ")).argParser(oneOf(PLOTTED)).default(PLOTTED[0]))
    .option("--to <place>", "file that ends in .png or .svg, or a folder (default: here, named after run and quantity)")
    .addOption(
      new Option("--format <format>", `${PICTURE_FORMATS.join(" or ")} (default: as --to ends, else png)`).argParser(
        oneOf(PICTURE_FORMATS),
      ),
    )
    .addHelpText("after", PLOT_HELP)
    .action((runs: string[], flags: RunPlotFlags & OutputFlags) => runPlot(runs, flags, contextFor(flags, options)));
}

const DIFF_HELP = `
A and B are ids of runs of the pool, or output folders, which need no pool. Losses are compared bit for bit.

Examples:
  gradpool run diff RUN_ID OTHER_RUN_ID
  gradpool run diff outputs/monday outputs/tuesday --output yaml
${HELP_TAIL}`;

function addRunDiff(run: Command, options: ProgramOptions): void {
  const command = run.command("diff").description("where two runs differ: recipe, data, base, and from which step on");
  onPool(command.argument("<a>").argument("<b>"), options)
    .addHelpText("after", DIFF_HELP)
    .action((a: string, b: string, flags: { address: string } & OutputFlags) =>
      runDiff([a, b], flags, contextFor(flags, options)),
    );
}

function addRunSubmit(run: Command, options: ProgramOptions): void {
  const command = run.command("submit").description("queue a run and print its id");
  onPool(addConfigFlag(addRunFlags(command), options.config), options)
    .option("--watch", "follow the run to its end")
    .addHelpText("after", SUBMIT_EXAMPLES)
    .action((flags: RunSubmitFlags & { json?: boolean }) => runSubmit(flags, contextFor(flags, options)));
}

export function addTrainer(program: Command, options: ProgramOptions): void {
  const trainer = program.command("trainer").description("look at a running pool's trainers, and give them leave");
  trainer.helpCommand(false);
  onPool(trainer.command("list").description("trainers that are connected"), options).action((flags: PoolFlags) =>
    trainerList(flags, contextFor(flags, options)),
  );
  const addControl = (action: TrainerAction, description: string) =>
    onPool(trainer.command(action).description(description).argument("<trainer_id>"), options).action(
      (trainerId: string, flags: PoolFlags) => trainerControl(action, trainerId, flags, contextFor(flags, options)),
    );
  addControl("drain", "give a trainer no further work; what it computes it finishes");
  addControl("undrain", "let a drained or quarantined trainer work again");
}

const BACKUP_HELP = `
The copy holds runs, their steps and events, not their results. A coordinator starts from it with GRADPOOL_RUN_STORE=FILE.

Examples:
  gradpool pool backup runs-monday.sqlite
  gradpool pool backup --address 10.0.0.5:7070 /backups/runs.sqlite
${HELP_TAIL}`;

export function addPool(program: Command, options: ProgramOptions): void {
  const pool = program.command("pool").description("show and back up a running pool as a whole").helpCommand(false);
  const status = pool.command("status").description("services, trainers and runs, and the processes of this machine");
  onPool(status, options).action((flags: PoolFlags) => poolStatus(flags, contextFor(flags, options)));
  const backup = pool.command("backup").description("copy the pool's run store into a file here, while the pool works");
  onPool(backup.argument("<file>", "replaced when it is there"), options)
    .addHelpText("after", BACKUP_HELP)
    .action((file: string, flags: PoolFlags) => poolBackup(file, flags, contextFor(flags, options)));
}

const TOP_HELP = `
Keys: q quits; arrows select; tab goes from runs to trainers and back; enter opens a run, esc closes it;
p pauses a run, r resumes it, c cancels it; d drains a trainer, or undrains it.

Examples:
  gradpool top
  gradpool top --once --address 10.0.0.5:7070
${HELP_TAIL}`;

export function addTop(program: Command, options: ProgramOptions): void {
  const command = program.command("top").description("watch a running pool and its runs, live, in the terminal");
  onAddress(command, options)
    .option("--once", "print the view once, as plain text")
    .addHelpText("after", TOP_HELP)
    .action((flags: TopFlags) => top(flags, contextFor({}, options)));
}

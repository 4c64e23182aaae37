/** The commands that talk to a running pool: run, trainer and pool. */
import type { Command } from "commander";
import { contextFor, HELP_TAIL, addRunFlags, JSON_LINES, jsonOption, onAddress, onPool } from "./command-options.js";
import type { ProgramOptions } from "./command-options.js";
import { poolStatus } from "./commands/pool-status.js";
import { runControl, type RunAction } from "./commands/run-control.js";
import { runGet } from "./commands/run-get.js";
import { runList } from "./commands/run-list.js";
import { runSubmit, type RunSubmitFlags } from "./commands/run-submit.js";
import { runWatch } from "./commands/run-watch.js";
import { top, type TopFlags } from "./commands/top.js";
import { trainerControl, type TrainerAction } from "./commands/trainer-control.js";
import { trainerList } from "./commands/trainer-list.js";

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
  const watch = run.command("watch").description("follow a run to its end; Ctrl-C leaves it running");
  onPool(watch.argument("<run_id>"), options, jsonOption(JSON_LINES)).action((runId: string, flags: PoolFlags) =>
    runWatch(runId, flags, contextFor(flags, options)),
  );
  const addControl = (action: RunAction, description: string) =>
    onPool(run.command(action).description(description).argument("<run_id>"), options).action(
      (runId: string, flags: PoolFlags) => runControl(action, runId, flags, contextFor(flags, options)),
    );
  addControl("pause", "let a run rest; its trainers are free for others at once");
  addControl("resume", "let a paused run go on where it was");
  addControl("cancel", "stop a run; what it saved stays");
}

function addRunSubmit(run: Command, options: ProgramOptions): void {
  const command = run.command("submit").description("queue a run and print its id");
  onPool(addRunFlags(command), options)
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

export function addPool(program: Command, options: ProgramOptions): void {
  const pool = program.command("pool").description("look at a running pool as a whole").helpCommand(false);
  const status = pool.command("status").description("services, trainers and runs, and the processes of this machine");
  onPool(status, options).action((flags: PoolFlags) => poolStatus(flags, contextFor(flags, options)));
}

const TOP_HELP = `
Keys: q quits; arrows select; tab goes from runs to trainers and back; enter opens a run, esc closes it;
p pauses a run, r resumes it, c cancels it; d drains a trainer, or undrains it.
${HELP_TAIL}`;

export function addTop(program: Command, options: ProgramOptions): void {
  const command = program.command("top").description("watch a running pool and its runs, live, in the terminal");
  onAddress(command, options)
    .option("--once", "print the view once, as plain text")
    .addHelpText("after", TOP_HELP)
    .action((flags: TopFlags) => top(flags, contextFor({}, options)));
}

/** The command line's commands, flags and help. */
import { Command, Option } from "commander";
import { defaultRecipe } from "@gradpool/recipe";
import type { StoreFlags } from "./checkpoints/store.js";
import type { CommandContext } from "./command-context.js";
import { checkpointDelete } from "./commands/checkpoint-delete.js";
import { checkpointExport, type CheckpointExportFlags } from "./commands/checkpoint-export.js";
import { checkpointList } from "./commands/checkpoint-list.js";
import { checkpointVerify } from "./commands/checkpoint-verify.js";
import { evaluate, type EvalFlags } from "./commands/eval.js";
import { runCancel } from "./commands/run-cancel.js";
import { runGet } from "./commands/run-get.js";
import { runList } from "./commands/run-list.js";
import { runSubmit, type RunSubmitFlags } from "./commands/run-submit.js";
import { runWatch } from "./commands/run-watch.js";
import { sample, type SampleFlags } from "./commands/sample.js";
import { train, type TrainFlags } from "./commands/train.js";
import { trainerList } from "./commands/trainer-list.js";
import { up, type UpFlags } from "./commands/up.js";
import { DEFAULT_PORT, type CliConfig } from "./config.js";
import { EXIT_CODES_HELP } from "./exit-codes.js";
import { addRecipeFlags, address, atLeast, number, port, requireFlags } from "./flags.js";
import { flagValues } from "./recipe-flags.js";

export interface ProgramOptions {
  version: string;
  config: CliConfig;
  /** Makes a command's context; `json` as its flag says. */
  contextOf: (json: boolean) => CommandContext;
}

const HELP_TAIL = `
Flags may be written with underscores or dashes, and as --flag value or --flag=value.
${EXIT_CODES_HELP}`;

const TRAIN_EXAMPLES = `
Examples:
  gradpool train --model_id models/tiny-coder --dataset src --epochs 1
  gradpool train --model_id ./gpt2 --dataset rows.jsonl --text_column text --trainers 2 --learning_rate 5e-4
  gradpool train --model_id ./gpt2 --dataset synthetic --dry_run
${HELP_TAIL}`;

const UP_EXAMPLES = `
Examples:
  gradpool up --trainers 2
  gradpool up --port 7080 --listen 0.0.0.0
${HELP_TAIL}`;

const SUBMIT_EXAMPLES = `
Examples:
  gradpool run submit --model_id models/tiny-coder --dataset src
  gradpool run submit --address 10.0.0.5:7070 --model_id /models/gpt2 --dataset /data/rows.jsonl --watch
${HELP_TAIL}`;

const CHECKPOINT_HELP = `
OUTPUT_DIR is the folder that a run wrote into. A checkpoint's own folder stands for both OUTPUT_DIR and NAME:
  gradpool checkpoint list outputs/my-run
  gradpool checkpoint verify outputs/my-run/checkpoint-epoch0-step100
  gradpool checkpoint export outputs/my-run latest --to my-adapter
${HELP_TAIL}`;

const SAMPLE_EXAMPLES = `
Examples:
  gradpool sample --model_id models/tiny-coder --prompt "def main():"
  gradpool sample --model_id models/tiny-coder --adapter outputs/my-run --prompt "export function" --temperature 0.8
${HELP_TAIL}`;

const EVAL_EXAMPLES = `
Examples:
  gradpool eval --model_id models/tiny-coder --dataset held-out.jsonl
  gradpool eval --model_id models/tiny-coder --adapter outputs/my-run --dataset held-out.jsonl --json
${HELP_TAIL}`;

export function createProgram(options: ProgramOptions): Command {
  const program = new Command("gradpool")
    .description("Fine-tune language models with LoRA on a shared pool of trainers.")
    .version(options.version, "-V, --version")
    .addHelpText("after", `\ngradpool COMMAND --help says more about a command.\n${HELP_TAIL}`);
  addTrain(program, options);
  addUp(program, options);
  const run = program.command("run").description("submit, list and follow runs of a running pool").helpCommand(false);
  addRunSubmit(run, options);
  addRunCommands(run, options);
  const trainer = program.command("trainer").description("look at a running pool's trainers").helpCommand(false);
  onPool(trainer.command("list").description("trainers that are connected"), options).action(
    (flags: { address: string; json?: boolean }) => trainerList(flags, contextFor(flags, options)),
  );
  addCheckpointCommands(program, options);
  addSample(program, options);
  addEval(program, options);
  return program;
}

/** Errors: UsageError when one of the `required` flags is missing. */
function contextFor(flags: { json?: boolean }, { contextOf }: ProgramOptions, required: readonly string[] = []) {
  requireFlags(flags, required);
  return contextOf(flags.json === true);
}

const RUN_REQUIRES = ["model_id", "dataset"];

const jsonOption = (what = "one JSON document on standard output, and nothing else") => new Option("--json", what);
const JSON_LINES = "JSON lines on standard output, and nothing else";

function onPool(command: Command, { config }: ProgramOptions, json = jsonOption()): Command {
  return command
    .addOption(
      new Option("--address <host:port>", "coordinator of the pool, also $GRADPOOL_ADDRESS")
        .argParser(address)
        .default(config.address),
    )
    .addOption(json);
}

function addRunFlags(command: Command): Command {
  command
    .option("--model_id <folder>", "model: a folder with config.json, model.safetensors and a tokenizer")
    .option("--dataset <sources...>", "files (.jsonl, .txt, source code), folders, globs, or synthetic")
    .option("--output_dir <folder>", "folder for the result (default: outputs/<model>-<date>-<time>)");
  return addRecipeFlags(command);
}

function addTrainerFlags(command: Command): Command {
  return command
    .addOption(new Option("--trainers <n>", "trainer processes (default: 1)").argParser(atLeast(1)))
    .addOption(
      new Option("--threads <n>", "threads of each trainer (default: cores / trainers)").argParser(atLeast(1)),
    );
}

function addTrain(program: Command, options: ProgramOptions): void {
  const command = program.command("train").description("fine-tune a model, on this machine or on a running pool");
  addTrainerFlags(addRunFlags(command))
    .addOption(
      new Option("--address <host:port>", "train on the pool of this coordinator instead of an own one").argParser(
        address,
      ),
    )
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", TRAIN_EXAMPLES)
    .action((flags: TrainFlags & { json?: boolean }) => train(flags, contextFor(flags, options, RUN_REQUIRES)));
}

function addUp(program: Command, options: ProgramOptions): void {
  const command = program.command("up").description("run a pool on this machine, in the foreground");
  addTrainerFlags(command)
    .addOption(
      new Option("--port <n>", "port of the coordinator; the next three are the other services'; 0: any")
        .argParser(port)
        .default(DEFAULT_PORT),
    )
    .option("--listen <host>", "interface that the coordinator listens on", "127.0.0.1")
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", UP_EXAMPLES)
    .action((flags: UpFlags & { json?: boolean }) => up(flags, contextFor(flags, options)));
}

function addRunSubmit(run: Command, options: ProgramOptions): void {
  const command = run.command("submit").description("queue a run and print its id");
  onPool(addRunFlags(command), options)
    .option("--watch", "follow the run to its end")
    .addHelpText("after", SUBMIT_EXAMPLES)
    .action((flags: RunSubmitFlags & { json?: boolean }) => runSubmit(flags, contextFor(flags, options, RUN_REQUIRES)));
}

interface PoolFlags {
  address: string;
  json?: boolean;
}

function addRunCommands(run: Command, options: ProgramOptions): void {
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
  onPool(run.command("cancel").description("stop a run").argument("<run_id>"), options).action(
    (runId: string, flags: PoolFlags) => runCancel(runId, flags, contextFor(flags, options)),
  );
}

type CheckpointFlags = StoreFlags & { json?: boolean };

function addCheckpointCommands(program: Command, options: ProgramOptions): void {
  const group = program
    .command("checkpoint")
    .description("look at, check, export and delete checkpoints")
    .helpCommand(false);
  const add = (name: string, description: string, json?: Option) =>
    onStore(group.command(name).description(description).argument("<output_dir>"), options, json);
  add("list", "checkpoints of an output folder, newest first").action((folder: string, flags: CheckpointFlags) =>
    checkpointList(folder, flags, contextFor(flags, options)),
  );
  add("verify", "read every byte of one checkpoint or all; exit code 1 when one is damaged", jsonOption(JSON_LINES))
    .argument("[name]")
    .action((folder: string, name: string | undefined, flags: CheckpointFlags) =>
      checkpointVerify(folder, name, flags, contextFor(flags, options)),
    );
  add("delete", "remove a checkpoint")
    .argument("[name]")
    .action((folder: string, name: string | undefined, flags: CheckpointFlags) =>
      checkpointDelete(folder, name, flags, contextFor(flags, options)),
    );
  add("export", "write a checkpoint's adapter and tokenizer as PEFT loads them")
    .argument("[name]", `a checkpoint, or "latest"`)
    .option("--to <folder>", "folder to write, which does not exist yet or is empty")
    .action((folder: string, name: string | undefined, flags: CheckpointExportFlags & { json?: boolean }) =>
      checkpointExport(folder, name, flags, contextFor(flags, options, ["to"])),
    );
}

function onStore(command: Command, { config }: ProgramOptions, json = jsonOption()): Command {
  const store = new Option(
    "--store <host:port>",
    "checkpoint store that runs already, also $GRADPOOL_CHECKPOINT_STORE_ADDRESS (default: one of its own)",
  ).argParser(address);
  if (config.checkpointStoreAddress) store.default(config.checkpointStoreAddress);
  return command.addOption(store).addOption(json).addHelpText("after", CHECKPOINT_HELP);
}

function addModelFlags(command: Command): Command {
  return command
    .option("--model_id <folder>", "model: a folder with config.json, model.safetensors and a tokenizer")
    .option("--adapter <folder>", "LoRA adapter as gradpool or PEFT saved it")
    .addOption(new Option("--threads <n>", "threads (default: all cores)").argParser(atLeast(1)))
    .addOption(jsonOption());
}

function addSample(program: Command, options: ProgramOptions): void {
  const command = program.command("sample").description("let a model, with or without an adapter, go on with a text");
  addModelFlags(command)
    .option("--prompt <text>", "text to go on with")
    .addOption(new Option("--max_new_tokens <n>", "longest continuation").argParser(atLeast(0)).default(64))
    .addOption(
      new Option("--temperature <x>", "0 takes the most likely token, higher is more varied")
        .argParser(temperature)
        .default(0),
    )
    .addOption(new Option("--seed <n>", "decides what a temperature above 0 draws").argParser(atLeast(0)).default(0))
    .addHelpText("after", SAMPLE_EXAMPLES)
    .action((flags: Omit<SampleFlags, "pad_token"> & { json?: boolean }) =>
      sample({ ...flags, pad_token: "" }, contextFor(flags, options, ["model_id", "prompt"])),
    );
}

const temperature = number("0 or greater", (value) => value >= 0);

const EVAL_RECIPE_FLAGS = ["max_length", "batch_size", "text_column", "append_eos", "packing", "pad_token"];

function addEval(program: Command, options: ProgramOptions): void {
  const command = program.command("eval").description("loss per token and perplexity of a model on rows of text");
  addRecipeFlags(
    addModelFlags(command).option("--dataset <sources...>", "files, folders, globs, or synthetic"),
    EVAL_RECIPE_FLAGS,
  )
    .addOption(new Option("--max_rows <n>", "use at most so many rows; 0: all").argParser(atLeast(0)).default(0))
    .addHelpText("after", EVAL_EXAMPLES)
    .action((flags: Partial<EvalFlags> & { json?: boolean }) =>
      evaluate(
        { ...flagValues(defaultRecipe()), ...flags } as unknown as EvalFlags,
        contextFor(flags, options, RUN_REQUIRES),
      ),
    );
}

/** The commands that use a model in this process: sample, eval and export. */
import { Option, type Command } from "commander";
import { contextFor, HELP_TAIL, jsonOption, type ProgramOptions } from "./command-options.js";
import { evaluate, type EvalFlags } from "./commands/eval.js";
import { exportModel, type ExportFlags } from "./commands/export.js";
import { sample, type SampleFlags } from "./commands/sample.js";
import { RECIPE_FIELDS } from "@gradpool/recipe";
import { addRecipeFlags, address, atLeast, number } from "./flags.js";

const SAMPLE_HELP = `
Tokens are chosen as transformers' generate does: repetition penalty, temperature, top-k, top-p, draw.

Examples:
  gradpool sample --model_id models/tiny-coder --prompt "def main():"
  gradpool sample --model_id models/tiny-coder --adapter outputs/my-run --prompt "export function" --temperature 0.8
  gradpool sample --model_id models/tiny-coder --prompt - --stop $'\\ndef ' $'\\nclass ' < start.py
  gradpool sample --model_id ./instruct --chat --prompt "What is a monad?" --max_new_tokens 200
  gradpool sample --model_id ./instruct --messages chat.json --adapter run-mf3k2a1b-9c04e7
${HELP_TAIL}`;

const EVAL_EXAMPLES = `
Examples:
  gradpool eval --model_id models/tiny-coder --dataset held-out.jsonl
  gradpool eval --model_id models/tiny-coder --adapter outputs/my-run --dataset held-out.jsonl --json
  gradpool eval --model_id ./instruct --dataset chats.jsonl --messages_column messages --max_length 1024
${HELP_TAIL}`;

const EXPORT_EXAMPLES = `
Examples:
  gradpool export --model_id models/tiny-coder --adapter outputs/my-run --merged --to my-model
  gradpool export --model_id models/tiny-coder --adapter outputs/my-run --to my-adapter
${HELP_TAIL}`;

function addModelFlags(command: Command, { config }: ProgramOptions): Command {
  return command
    .option("--model_id <model>", "folder as save_pretrained writes it, .gguf file, or name on the hub")
    .option("--adapter <place>", "LoRA adapter: an output folder, a checkpoint, what PEFT saved, or a run's id")
    .addOption(
      new Option("--address <host:port>", "coordinator that knows the run, also $GRADPOOL_ADDRESS")
        .argParser(address)
        .default(config.address),
    )
    .addOption(jsonOption());
}

function addThreads(command: Command): Command {
  return command.addOption(new Option("--threads <n>", "threads (default: all cores)").argParser(atLeast(1)));
}

export function addSample(program: Command, options: ProgramOptions): void {
  const command = program.command("sample").description("let a model, with or without an adapter, go on with a text");
  addThreads(addModelFlags(command, options))
    .option("--prompt <text>", "text to go on with; - reads standard input")
    .option("--chat", "the prompt is a user's message: the model's chat template is put around it")
    .option("--system <text>", "with --chat: the system's message before it")
    .option(
      "--messages <file>",
      "instead of a prompt: JSON list of messages with role and content; - reads standard input",
    )
    .addOption(new Option("--max_new_tokens <n>", "longest continuation").argParser(atLeast(0)).default(64))
    .addOption(
      new Option("--temperature <x>", "0 takes the most likely token, higher is more varied")
        .argParser(number("0 or greater", (value) => value >= 0))
        .default(0),
    )
    .addOption(new Option("--top_k <n>", "draw from the n most likely; 0: from all").argParser(atLeast(0)).default(0))
    .addOption(
      new Option("--top_p <x>", "draw from the most likely that together reach this probability")
        .argParser(number("above 0 and at most 1", (value) => value > 0 && value <= 1))
        .default(1),
    )
    .addOption(
      new Option("--repetition_penalty <x>", "above 1: tokens that are in the text become less likely")
        .argParser(number("above 0", (value) => value > 0))
        .default(1),
    )
    .addOption(new Option("--seed <n>", "decides what a temperature above 0 draws").argParser(atLeast(0)).default(0))
    .option("--stop <text...>", "end before the first of these texts")
    .addHelpText("after", SAMPLE_HELP)
    .action((flags: Omit<SampleFlags, "pad_token"> & { json?: boolean }) =>
      sample({ ...flags, pad_token: "" }, contextFor(flags, options, ["model_id"])),
    );
}

/** Those that decide what is read and how: shuffling and training do not matter here. */
const EVAL_FIELDS = RECIPE_FIELDS.filter(({ readBy, forTraining }) => readBy.includes("data") && !forTraining);

export function addEval(program: Command, options: ProgramOptions): void {
  const command = program.command("eval").description("loss per token and perplexity of a model on rows of data");
  addThreads(addModelFlags(command, options)).option(
    "--dataset <sources...>",
    "files, folders, globs, data sets of the hub, or synthetic",
  );
  addRecipeFlags(command, EVAL_FIELDS)
    .addOption(new Option("--max_rows <n>", "use at most this many rows; 0: all").argParser(atLeast(0)).default(0))
    .addHelpText("after", EVAL_EXAMPLES)
    .action((flags: EvalFlags & { json?: boolean }) =>
      evaluate(flags, contextFor(flags, options, ["model_id", "dataset"])),
    );
}

export function addExport(program: Command, options: ProgramOptions): void {
  const command = program.command("export").description("write an adapter, or the model with it, for other programs");
  addModelFlags(command, options)
    .option("--merged", "a whole model with the adapter in its weights, as transformers loads it")
    .option("--to <folder>", "folder to write, which does not exist yet or is empty")
    .addHelpText("after", EXPORT_EXAMPLES)
    .action((flags: Omit<ExportFlags, "pad_token"> & { json?: boolean }) =>
      exportModel({ ...flags, pad_token: "" }, contextFor(flags, options, ["model_id", "adapter", "to"])),
    );
}

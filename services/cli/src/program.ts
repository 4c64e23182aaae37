/** The command line's commands, flags and help. */
import { Command, Option } from "commander";
import type { StoreFlags } from "./checkpoints/store.js";
import { addConfigFlag } from "./common-flags.js";
import { addRunFlags, contextFor, HELP_TAIL, JSON_LINES, jsonOption, type ProgramOptions } from "./command-options.js";
import { checkpointDelete } from "./commands/checkpoint-delete.js";
import { checkpointExport, type CheckpointExportFlags } from "./commands/checkpoint-export.js";
import { checkpointList } from "./commands/checkpoint-list.js";
import { checkpointVerify } from "./commands/checkpoint-verify.js";
import { doctor, type DoctorFlags } from "./commands/doctor.js";
import { train, type TrainFlags } from "./commands/train.js";
import { up, type UpFlags } from "./commands/up.js";
import { addCompletion, addConfig } from "./config-program.js";
import { DEFAULT_PORT } from "./config.js";
import { addEvents } from "./events-program.js";
import { address, atLeast, device, number, port, singlePort } from "./flags.js";
import { addEval, addExport, addSample } from "./inference-program.js";
import { DEFAULT_RECOVERY_SECONDS } from "./local-stack/local-stack.js";
import { addPool, addRun, addTop, addTrainer } from "./pool-program.js";

const TRAIN_EXAMPLES = `
Examples:
  gradpool train --model_id models/tiny-coder --dataset src --epochs 1
  gradpool train --model_id ./gpt2 --dataset rows.jsonl --text_column text --trainers 2 --learning_rate 5e-4
  gradpool train --model_id ./gpt2 --dataset synthetic --dry_run
  gradpool train --model_id ./gpt2 --dataset rows.jsonl --output_dir out --resume_from latest
${HELP_TAIL}`;

const UP_EXAMPLES = `
Examples:
  gradpool up --trainers 2
  gradpool up --port 7080 --listen 0.0.0.0
${HELP_TAIL}`;

const CHECKPOINT_HELP = `
OUTPUT_DIR is the folder that a run wrote into. A checkpoint's own folder stands for both OUTPUT_DIR and NAME.

Examples:
  gradpool checkpoint list outputs/my-run
  gradpool checkpoint verify outputs/my-run/checkpoint-epoch0-step100
  gradpool checkpoint export outputs/my-run latest --to my-adapter
  gradpool checkpoint delete outputs/my-run checkpoint-epoch0-step100
${HELP_TAIL}`;

export function createProgram(options: ProgramOptions): Command {
  const program = new Command("gradpool")
    .description("Fine-tune language models with LoRA on a shared pool of trainers.")
    .version(options.version, "-V, --version")
    .addHelpText("after", `\ngradpool COMMAND --help says more about a command.\n${HELP_TAIL}`);
  addTrain(program, options);
  addUp(program, options);
  addRun(program, options);
  addTrainer(program, options);
  addPool(program, options);
  addEvents(program, options);
  addTop(program, options);
  addCheckpointCommands(program, options);
  addSample(program, options);
  addEval(program, options);
  addExport(program, options);
  addDoctor(program, options);
  addConfig(program, options);
  addCompletion(program, options);
  return program;
}

/** The flags of commands that start a stack. */
function addStackFlags(command: Command): Command {
  return command
    .addOption(new Option("--trainers <n>", "trainer processes (default: 1)").argParser(atLeast(1)))
    .addOption(new Option("--threads <n>", "threads of each trainer (default: cores / trainers)").argParser(atLeast(1)))
    .addOption(new Option("--device <name>", DEVICE_HELP).argParser(device))
    .addOption(
      new Option("--recovery_seconds <x>", RECOVERY_HELP).argParser(number("0 or greater", (value) => value >= 0)),
    );
}

const DEVICE_HELP = "auto, cpu, cuda (one device a trainer) or cuda:i (default: auto, CUDA where it works)";

const RECOVERY_HELP = `at most so many seconds of work are repeated after a crash; 0: no recovery points (default: ${DEFAULT_RECOVERY_SECONDS})`;

function addTrain(program: Command, options: ProgramOptions): void {
  const command = program.command("train").description("fine-tune a model, on this machine or on a running pool");
  addStackFlags(addConfigFlag(addRunFlags(command), options.config))
    .addOption(
      new Option("--address <host:port>", "train on the pool of this coordinator instead of an own one").argParser(
        address,
      ),
    )
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", TRAIN_EXAMPLES)
    .action((flags: TrainFlags & { json?: boolean }) => train(flags, contextFor(flags, options)));
}

function addUp(program: Command, options: ProgramOptions): void {
  const command = program.command("up").description("run a pool on this machine, in the foreground");
  addStackFlags(command)
    .addOption(
      new Option(
        "--port <n>",
        "port of the coordinator; the next four are its HTTP port and the other services'; 0: any",
      )
        .argParser(port)
        .default(DEFAULT_PORT),
    )
    .addOption(
      new Option(
        "--http_port <n>",
        "port of 127.0.0.1 for the coordinator's metrics and probes; 0: any (default: the one behind --port)",
      ).argParser(singlePort),
    )
    .option("--metrics", "give the other services such a port, too, any free ones; pool status shows them")
    .option("--listen <host>", "interface that the coordinator listens on", "127.0.0.1")
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", UP_EXAMPLES)
    .action((flags: UpFlags & { json?: boolean }) => up(flags, contextFor(flags, options)));
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

function addDoctor(program: Command, options: ProgramOptions): void {
  program
    .command("doctor")
    .description("what this machine can do; exit code 1 when it cannot train on its processor")
    .option("--online", "also ask whether the hub can be reached")
    .addOption(jsonOption())
    .action((flags: DoctorFlags & { json?: boolean }) => doctor(flags, contextFor(flags, options)));
}

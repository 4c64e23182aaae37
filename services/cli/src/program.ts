/** The command line's commands, each a file in commands that adds its flags and its work. */
import { Command } from "commander";
import { HELP_TAIL, type ProgramOptions } from "./command-options.js";

type Add = (command: Command, options: ProgramOptions) => void;

interface Entry {
  name: string;
  description: string;
  /** Loading all of them takes longer than many commands run. */
  load: () => Promise<Add>;
}

/** Its script has the flags of all. */
const COMPLETION = "completion";

const COMMANDS: readonly Entry[] = [
  {
    name: "train",
    description: "fine-tune a model, on this machine or on a running pool",
    load: async () => (await import("./commands/train.js")).addTrain,
  },
  {
    name: "up",
    description: "run a pool on this machine, in the foreground",
    load: async () => (await import("./commands/up.js")).addUp,
  },
  {
    name: "run",
    description: "submit, follow and control runs of a running pool",
    load: async () => (await import("./commands/run.js")).addRun,
  },
  {
    name: "trainer",
    description: "list, drain and undrain trainers",
    load: async () => (await import("./commands/trainer.js")).addTrainer,
  },
  {
    name: "pool",
    description: "show, back up and verify a pool",
    load: async () => (await import("./commands/pool.js")).addPool,
  },
  {
    name: "events",
    description: "follow the events of a running pool",
    load: async () => (await import("./commands/events-tail.js")).addEventsTail,
  },
  {
    name: "top",
    description: "watch a running pool and its runs live in the terminal",
    load: async () => (await import("./commands/top.js")).addTop,
  },
  {
    name: "checkpoint",
    description: "list, check, export and delete checkpoints",
    load: async () => (await import("./commands/checkpoint.js")).addCheckpoint,
  },
  {
    name: "sample",
    description: "generate text with a model, with or without an adapter",
    load: async () => (await import("./commands/sample.js")).addSample,
  },
  {
    name: "eval",
    description: "measure a model's loss per token and perplexity on rows of data",
    load: async () => (await import("./commands/eval.js")).addEval,
  },
  {
    name: "export",
    description: "write an adapter, or the model merged with it, for other programs",
    load: async () => (await import("./commands/export.js")).addExport,
  },
  {
    name: "certs",
    description: "make certificates for pools that other machines reach",
    load: async () => (await import("./commands/certs.js")).addCerts,
  },
  {
    name: "doctor",
    description: "check this machine; exit code 1 when it cannot train on its CPU",
    load: async () => (await import("./commands/doctor.js")).addDoctor,
  },
  {
    name: "config",
    description: "show and check configuration and profiles",
    load: async () => (await import("./commands/config.js")).addConfig,
  },
  {
    name: COMPLETION,
    description: "print a script that lets a shell complete commands and flags",
    load: async () => (await import("./commands/completion.js")).addCompletion,
  },
];

/** The program; the flags and work of those commands only that are among `words`, or of all. */
export async function createProgram(options: ProgramOptions, words?: readonly string[]): Promise<Command> {
  const program = new Command("gradpool")
    .description("Fine-tune language models with LoRA on a shared pool of trainers.")
    .version(options.version, "-V, --version")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText("after", `\nFor more about a command: gradpool COMMAND --help\n${HELP_TAIL}`);
  const isNeeded = (name: string) => words === undefined || words.includes(name) || words.includes(COMPLETION);
  for (const { name, description, load } of COMMANDS) {
    const command = program.command(name).description(description).helpCommand(false);
    if (isNeeded(name)) (await load())(command, options);
  }
  return program;
}

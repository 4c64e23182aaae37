/** The commands about the command line itself: config and completion. */
import { Argument, type Command } from "commander";
import { contextFor, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "./command-options.js";
import { configCheck } from "./commands/config-check.js";
import { configShow } from "./commands/config-show.js";
import { bashCompletion } from "./completion/bash.js";
import { commandTree, type CompletedCommand } from "./completion/command-tree.js";
import { fishCompletion } from "./completion/fish.js";
import { zshCompletion } from "./completion/zsh.js";

const CONFIG_HELP = `
Profiles stand in config.yaml in $GRADPOOL_HOME (default: ~/.gradpool):

  profile: team            # the usual one; --profile and $GRADPOOL_PROFILE name another
  profiles:
    team:
      address: 10.0.0.5:7070
      checkpoint_store: 10.0.0.5:7074
      output: table
      defaults:            # of train and run submit, by the names of their flags
        learning_rate: 1e-4

What counts most stands first: flags, --config FILE, a profile named by --profile, the environment, the usual profile.

Examples:
  gradpool config show
  gradpool config show --profile team --output yaml
${HELP_TAIL}`;

const CHECK_HELP = `
A FILE is what train and run submit take with --config: YAML under the names of their flags.

Examples:
  gradpool config check
  gradpool config check recipe.yaml
${HELP_TAIL}`;

export function addConfig(program: Command, options: ProgramOptions): void {
  const group = program.command("config").description("show and check configuration and profiles").helpCommand(false);
  group
    .command("show")
    .description("what counts here, and where it comes from")
    .addOption(jsonOption())
    .addHelpText("after", CONFIG_HELP)
    .action((flags: OutputFlags) => configShow(contextFor(flags, options)));
  group
    .command("check")
    .description("what is wrong with environment, profiles and files; exit code 1 when something is")
    .argument("[files...]", "files for --config")
    .addOption(jsonOption())
    .addHelpText("after", CHECK_HELP)
    .action((files: string[], flags: OutputFlags) =>
      configCheck(files, commandNamed(program, "train"), contextFor(flags, options)),
    );
}

function commandNamed(program: Command, name: string): Command {
  const command = program.commands.find((one) => one.name() === name);
  if (!command) throw new Error(`there is no command ${name}`);
  return command;
}

const COMPLETIONS: Record<string, (commands: readonly CompletedCommand[]) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

const COMPLETION_HELP = `
Examples:
  gradpool completion bash > ~/.local/share/bash-completion/completions/gradpool
  source <(gradpool completion zsh)
  gradpool completion fish > ~/.config/fish/completions/gradpool.fish
${HELP_TAIL}`;

export function addCompletion(program: Command, options: ProgramOptions): void {
  program
    .command("completion")
    .description("print a script that lets a shell complete commands and flags")
    .addArgument(new Argument("<shell>").choices(Object.keys(COMPLETIONS)))
    .addHelpText("after", COMPLETION_HELP)
    .action((shell: string) => {
      const script = COMPLETIONS[shell]?.(commandTree(program)) ?? "";
      options.contextOf("table").output.stream(script);
    });
}

/** gradpool completion: a script that lets a shell complete commands and flags. */
import { Argument, type Command } from "commander";
import { HELP_TAIL, type ProgramOptions } from "../command-options.js";
import { bashCompletion } from "../completion/bash.js";
import { commandTree, type CompletedCommand } from "../completion/command-tree.js";
import { fishCompletion } from "../completion/fish.js";
import { zshCompletion } from "../completion/zsh.js";

const COMPLETIONS: Record<string, (commands: readonly CompletedCommand[]) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

const HELP = `
Examples:
  gradpool completion bash > ~/.local/share/bash-completion/completions/gradpool
  source <(gradpool completion zsh)
  gradpool completion fish > ~/.config/fish/completions/gradpool.fish
${HELP_TAIL}`;

export function addCompletion(command: Command, options: ProgramOptions): void {
  command
    .addArgument(new Argument("<shell>").choices(Object.keys(COMPLETIONS)))
    .addHelpText("after", HELP)
    .action((shell: string) => {
      const script = COMPLETIONS[shell]?.(commandTree(command.parent ?? command)) ?? "";
      options.contextOf("table").output.stream(script);
    });
}

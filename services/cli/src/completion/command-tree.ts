/** Commands and flags as completion scripts need them, taken from the program itself. */
import type { Command, Option } from "commander";
import { fieldNamed } from "@gradpool/recipe";
import { isBoolean } from "../flags.js";
import { STATE_NAMES } from "../commands/run-list.js";
import { PICTURE_FORMATS, PLOTTED } from "../commands/run-plot.js";
import { OUTPUT_FORMATS } from "../terminal/output.js";

export interface CompletedFlag {
  /** With its dashes. */
  name: string;
  help: string;
  takesValue: boolean;
  /** Values that it takes; none: any, such as a file. */
  values: readonly string[];
}

export interface CompletedCommand {
  /** Words from the program on, such as ["run", "submit"]; none: the program itself. */
  path: readonly string[];
  help: string;
  commands: readonly { name: string; help: string }[];
  flags: readonly CompletedFlag[];
  /** Words that its arguments are chosen from. */
  words: readonly string[];
}

/** The program's commands, itself first. */
export function commandTree(program: Command, path: readonly string[] = []): CompletedCommand[] {
  const inner = program.commands.map((command) => ({ name: command.name(), help: command.description() }));
  const own: CompletedCommand = {
    path,
    help: program.description(),
    commands: inner,
    flags: [...program.options.map(flagOf), { name: "--help", help: "what it does", takesValue: false, values: [] }],
    words: program.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [own, ...program.commands.flatMap((command) => commandTree(command, [...path, command.name()]))];
}

/** Of flags whose parser knows the words, and not commander. */
const VALUES: Record<string, readonly string[]> = {
  output: OUTPUT_FORMATS,
  device: ["auto", "cpu", "cuda", "webgpu"],
  what: PLOTTED,
  format: PICTURE_FORMATS,
  state: STATE_NAMES,
};

function flagOf(option: Option): CompletedFlag {
  const field = fieldNamed(option.name());
  const ofField = field?.words ?? (field?.wordsOf === undefined ? undefined : fieldNamed(field.wordsOf)?.words);
  const words = VALUES[option.name()] ?? ofField ?? option.argChoices ?? [];
  const values = isBoolean(option) ? ["true", "false", ...words] : words;
  return {
    name: option.long ?? `--${option.name()}`,
    help: option.description,
    takesValue: option.required || option.optional,
    values,
  };
}

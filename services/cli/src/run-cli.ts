/** Runs one command line and gives its exit code. */
import { CommanderError, type Command } from "commander";
import { GradpoolError } from "@gradpool/errors";
import { addCommonFlags, formatIn, readSettings } from "./common-flags.js";
import { EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE } from "./exit-codes.js";
import { isBoolean } from "./flags.js";
import { Interrupted, type Interrupts } from "./interrupts.js";
import { startTracing } from "@gradpool/tracing";
import { createProgram } from "./program.js";
import { familiarAdvice, familiarName } from "./settings/familiar-names.js";
import { oneSpelling, type KnownFlags } from "./spelling.js";
import { oneLine } from "./terminal/format.js";
import { Output, type OutputFormat, type Sink } from "./terminal/output.js";
import type { Terminal } from "./top/screen.js";
import { UsageError } from "./usage-error.js";

export interface CliEnvironment {
  stdout: Sink;
  stderr: Sink;
  env: NodeJS.ProcessEnv;
  interrupts: Interrupts;
  version: string;
  terminal?: Terminal | undefined;
}

/** `argv` as the user gave it, less node and script. Gives the exit code. */
export async function runCli(argv: readonly string[], environment: CliEnvironment): Promise<number> {
  const { stdout, stderr, env, interrupts, version, terminal } = environment;
  const { config, problem } = await readSettings(argv, env);
  const outputOf = (format: OutputFormat) => new Output({ stdout, stderr, format });
  // Even when flags are invalid, a program expects a document.
  let output = outputOf(formatIn(argv) ?? config.output);
  const contextOf = (format: OutputFormat) => ({ output: (output = outputOf(format)), config, interrupts, terminal });
  const program = await createProgram({ version, config, contextOf }, argv);
  addCommonFlags(program, problem);
  prepare(program, { stdout, stderr });
  const tracing = await startTracing("gradpool-cli", env, (message) => output.note(message));
  try {
    await program.parseAsync(oneSpelling(argv, knownFlags(program)), { from: "user" });
    return EXIT_OK;
  } catch (reason) {
    const isDebug = config.debug || argv.includes("--debug");
    return explain(reason, output, isDebug);
  } finally {
    await tracing[Symbol.asyncDispose]();
  }
}

/** Errors are thrown instead of ending the process. */
function prepare(command: Command, { stdout, stderr }: { stdout: Sink; stderr: Sink }): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: () => {},
    });
  for (const inner of command.commands) prepare(inner, { stdout, stderr });
}

function knownFlags(program: Command): KnownFlags {
  const names = new Set<string>();
  const booleans = new Set<string>();
  const collect = (command: Command) => {
    for (const option of command.options) {
      names.add(option.name());
      if (isBoolean(option)) booleans.add(option.name());
    }
    command.commands.forEach(collect);
  };
  collect(program);
  return { names, booleans };
}

function explain(reason: unknown, output: Output, isDebug: boolean): number {
  output.endProgress();
  if (reason instanceof CommanderError && reason.exitCode === 0) return EXIT_OK;
  // Help that was not asked for goes to standard error: a command was missing.
  if (reason instanceof CommanderError && reason.code === "commander.help") return EXIT_USAGE;
  if (isDebug && reason instanceof Error) output.note(reason.stack ?? reason.message);
  if (reason instanceof Interrupted || (reason instanceof Error && reason.cause instanceof Interrupted)) {
    output.failure("cancelled", "interrupted");
    return EXIT_INTERRUPTED;
  }
  if (reason instanceof CommanderError) {
    output.failure("usage", usageText(reason.message));
    return EXIT_USAGE;
  }
  if (reason instanceof UsageError) {
    output.failure("usage", oneLine(reason.message));
    return EXIT_USAGE;
  }
  const error = GradpoolError.from(reason);
  const advice = error.code === "internal" && !isDebug ? "; --debug shows the stack trace" : "";
  output.failure(error.code, `${oneLine(error.message)}${advice}`);
  return EXIT_FAILED;
}

/** Commander's messages in the form of ours: what is wrong; what to do. */
function usageText(message: string): string {
  const text = oneLine(message.replace(/^error: /, ""))
    .replace(/^option '(-\S+)[^']*' argument '.*' is invalid\. /s, "$1 ")
    .replace(/^option '(-\S+)[^']*' argument missing$/, "$1 needs a value")
    .replace(
      /^command-argument value '(.*)' is invalid for argument '(.*)'\. Allowed choices are (.*)\.$/s,
      (_, ...words) => {
        const [value, name, choices] = words as string[];
        return `${name} must be one of ${choices}, not ${JSON.stringify(value)}`;
      },
    )
    .replace(/^(unknown (?:option|command)) '(.*?)'/s, "$1 $2");
  const unknown = /^unknown option --([\w-]+)/.exec(text)?.[1] ?? "";
  const flag = familiarName(unknown);
  const familiar = flag ? `it is called --${flag} here` : familiarAdvice(unknown);
  if (familiar) return `unknown option --${unknown}; ${familiar}`;
  const suggestion = /^(.*?)\s*\(Did you mean (.*)\?\)$/.exec(text);
  if (suggestion) return `${suggestion[1]}; did you mean ${suggestion[2]}?`;
  return / must be /.test(text) ? text : `${text}; see --help`;
}

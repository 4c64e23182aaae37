/** Flags and help that several commands have in common. */
import { Option, type Command } from "commander";
import type { CommandContext } from "./command-context.js";
import type { CliConfig } from "./config.js";
import { EXIT_CODES_HELP } from "./exit-codes.js";
import { address, requireFlags } from "./flags.js";
import type { OutputFormat } from "./terminal/output.js";
import { UsageError } from "./usage-error.js";

export interface ProgramOptions {
  version: string;
  config: CliConfig;
  /** Makes a command's context, for results of that format. */
  contextOf: (format: OutputFormat) => CommandContext;
}

export const HELP_TAIL = `
Flags may be written with underscores or dashes, and as --flag value or --flag=value.
${EXIT_CODES_HELP}`;

/** Errors: UsageError when one of the `required` flags is missing. */
export function contextFor(
  flags: OutputFlags,
  { config, contextOf }: ProgramOptions,
  required: readonly string[] = [],
): CommandContext {
  requireFlags(flags, required);
  const { json, output } = flags;
  if (json && output && output !== "json")
    throw new UsageError(`--json and --output ${output} conflict; give one of them`);
  return contextOf(json ? "json" : (output ?? config.output));
}

/** The help of a command whose examples say enough. */
export const examples = (...lines: readonly string[]) =>
  `\nExamples:${lines.map((line) => `\n  ${line}`).join("")}\n${HELP_TAIL}`;

/** Every command that has --json has --output too: addCommonFlags gives it. */
export interface OutputFlags {
  json?: boolean;
  output?: OutputFormat;
}

/** Those that onPool adds. */
export interface PoolFlags extends OutputFlags {
  address: string;
}

export const jsonOption = (what = "one JSON document on standard output, and nothing else") =>
  new Option("--json", `${what}; short for --output json`);

export const JSON_LINES = "JSON lines on standard output, and nothing else";

/** The flags of a command that talks to a running pool. */
export function onPool(command: Command, options: ProgramOptions, json = jsonOption()): Command {
  return onAddress(command, options).addOption(json);
}

/** Adds the flags for what a pool asks for. They are read before the command is known, see readSettings. */
export function addAccessFlags(command: Command): Command {
  return command
    .option(
      "--key_file <file>",
      "file with the pool's key, also $GRADPOOL_KEY_FILE (default: of a pool of this machine)",
    )
    .option("--tls_ca <file>", "certificate of the pool's authority, also $GRADPOOL_TLS_CA (default: the same)")
    .option("--tls_cert <file>", "this side's certificate, also $GRADPOOL_TLS_CERT (default: the same)")
    .option("--tls_key <file>", "key of that certificate, also $GRADPOOL_TLS_KEY (default: the same)")
    .option("--insecure", "allow plain text between machines, also $GRADPOOL_INSECURE=1");
}

/** The flags that say which pool. */
export function onAddress(command: Command, { config }: ProgramOptions): Command {
  return addAccessFlags(command).addOption(
    new Option("--address <host:port>", "coordinator of the pool, also $GRADPOOL_ADDRESS")
      .argParser(address)
      .default(config.address),
  );
}

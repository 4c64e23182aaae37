/** Flags that every command has, read before the command is known. */
import { Command, Option } from "commander";
import { GradpoolError } from "@gradpool/errors";
import { gradpoolHome } from "@gradpool/access";
import { profileOf, readCliConfig, type CliConfig } from "./config.js";
import { oneOf } from "./flags.js";
import { addRunFlags } from "./run-flags.js";
import { configFile, readProfile, type ChosenProfile } from "./settings/config-file.js";
import { applyValues, fileValues, readFlagFile, type FileValues } from "./settings/file-values.js";
import type { AccessFlags } from "./settings/pool-access.js";
import { OUTPUT_FORMATS, type OutputFormat } from "./terminal/output.js";

export interface Settings {
  config: CliConfig;
  /** Why profile or environment is invalid; then they are ignored. */
  problem: GradpoolError | undefined;
}

/** What environment and profile say. A profile that a flag names overrides the environment. */
export async function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Settings> {
  const named = valueIn(argv, "profile");
  let profile: ChosenProfile | undefined;
  let problem: GradpoolError | undefined;
  try {
    profile = await readProfile(gradpoolHome(env), named ?? profileOf(env));
  } catch (reason) {
    problem = GradpoolError.from(reason);
  }
  const flags = { isFirst: named !== undefined, access: accessIn(argv) };
  try {
    return { config: readCliConfig(env, profile, flags), problem };
  } catch (reason) {
    // The hub's variables, its token file and the names of certificates are checked as they are read; no others are.
    const checked = /^(HF|HUGGING_FACE|GRADPOOL_TLS)_/;
    const others = Object.fromEntries(Object.entries(env).filter(([name]) => !checked.test(name)));
    const config = { ...readCliConfig({ ...others, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), env };
    return { config, problem: problem ?? GradpoolError.from(reason) };
  }
}

/** What --json and --output ask for, as far as it can be seen. */
export function formatIn(argv: readonly string[]): OutputFormat | undefined {
  if (argv.includes("--json")) return "json";
  return OUTPUT_FORMATS.find((format) => format === valueIn(argv, "output"));
}

function accessIn(argv: readonly string[]): AccessFlags {
  const value = (flag: string) => valueIn(argv, flag) ?? valueIn(argv, flag.replace("_", "-"));
  return {
    key_file: value("key_file"),
    tls_ca: value("tls_ca"),
    tls_cert: value("tls_cert"),
    tls_key: value("tls_key"),
    insecure: argv.includes("--insecure"),
  };
}

/** The last value of a flag. */
function valueIn(argv: readonly string[], flag: string): string | undefined {
  const end = argv.indexOf("--");
  const words = end < 0 ? argv : argv.slice(0, end);
  const at = words.findLastIndex((word) => word === `--${flag}` || word.startsWith(`--${flag}=`));
  const word = words[at];
  return word?.includes("=") ? word.slice(word.indexOf("=") + 1) : words[at + 1 || words.length];
}

/** These help to fix invalid settings, or need none. */
const WITHOUT_SETTINGS = new Set(["config", "completion", "doctor"]);

/** `problem` is thrown by the commands that need settings. */
export function addCommonFlags(program: Command, problem: GradpoolError | undefined): void {
  program.option("--debug", DEBUG_HELP);
  program.option("--profile <name>", PROFILE_HELP);
  for (const command of leaves(program)) {
    command.option("--debug", DEBUG_HELP);
    command.option("--profile <name>", PROFILE_HELP);
    if (command.options.some((option) => option.name() === "json")) {
      const formats = OUTPUT_FORMATS.join(", ");
      command.addOption(new Option("--output <format>", `results as ${formats}`).argParser(oneOf(OUTPUT_FORMATS)));
    }
    command.hook("preAction", () => {
      if (problem && !WITHOUT_SETTINGS.has(topOf(command).name())) throw problem;
    });
  }
}

const DEBUG_HELP = "show stack traces of errors, also $GRADPOOL_DEBUG";
const PROFILE_HELP = "profile of config.yaml to use, also $GRADPOOL_PROFILE; see gradpool config show --help";

function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

/** The command right below the program. */
function topOf(command: Command): Command {
  return command.parent?.parent ? topOf(command.parent) : command;
}

/** Adds --config FILE to a command that trains; the file overrides the profile. */
export function addConfigFlag(command: Command, config: CliConfig): Command {
  return command
    .option("--config <file>", "YAML file with flags' names as keys; flags override it")
    .hook("preAction", async () => {
      const path = command.getOptionValue("config") as string | undefined;
      if (path !== undefined) applyValues(command, await readFlagFile(path, command));
      const { values, problems } = profileDefaults(config.profile);
      if (problems.length > 0) {
        throw new GradpoolError("invalid_argument", `${configFile(config.home)}: ${problems.join("; ")}`);
      }
      applyValues(command, values);
    });
}

/** What a profile says for the flags that train and run submit have in common. */
export function profileDefaults(profile: ChosenProfile | undefined): FileValues {
  const { values, problems } = fileValues(
    profile?.profile.defaults,
    addRunFlags(new Command("gradpool").command("train")),
  );
  return { values, problems: problems.map((problem) => `profiles.${profile?.name}.defaults: ${problem}`) };
}

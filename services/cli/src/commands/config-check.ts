/** gradpool config check: what is wrong with the environment, the profiles, and files for --config. */
import { grpcProxyUrl } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { counted } from "@gradpool/format";
import { proxyLabel, proxySettings } from "@gradpool/hub";
import { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { profileDefaults } from "../common-flags.js";
import type { CliConfig } from "../config.js";
import type { Check } from "../doctor/checks.js";
import { sayChecks } from "../doctor/report.js";
import { configFile, readConfigFile } from "../settings/config-file.js";
import { environmentProblems } from "../settings/environment.js";
import { fileValues } from "../settings/file-values.js";
import { readYaml } from "../settings/yaml-file.js";
import { addTrain, plannedRun, type TrainFlags } from "./train.js";

const HELP = `
A FILE is one for the --config of train and run submit: YAML with the names of their flags as keys.

Examples:
  gradpool config check
  gradpool config check recipe.yaml
${HELP_TAIL}`;

export function addConfigCheck(group: Command, options: ProgramOptions): void {
  group
    .command("check")
    .description("check the environment, profiles and files; exit code 1 when something is wrong")
    .argument("[files...]", "files to check, as for --config")
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action((files: string[], flags: OutputFlags) =>
      configCheck(files, trainCommand(options), contextFor(flags, options)),
    );
}

/** The command whose flags files for --config may set. */
function trainCommand(options: ProgramOptions): Command {
  const train = new Command("gradpool").command("train");
  addTrain(train, options);
  return train;
}

type NamedCheck = [name: string, check: Check];

const problem = (text: string): Check => ({ state: "problem", text });

/** `train`: the command whose flags the files' names are. Errors: `failed_precondition` when something is wrong. */
async function configCheck(files: readonly string[], train: Command, context: CommandContext): Promise<void> {
  const { config, output } = context;
  const checks: NamedCheck[] = [...environmentChecks(config), ...(await profileChecks(config))];
  for (const file of files) checks.push(...(await fileChecks(file, train)));
  await sayChecks(checks, "the configuration is invalid", output);
}

function environmentChecks(config: CliConfig): NamedCheck[] {
  const problems = environmentProblems(config.env);
  if (problems.length === 0) return [["environment", { state: "ok", text: "ok" }], ...proxyChecks(config)];
  return problems.map((text) => ["environment", problem(text)]);
}

function proxyChecks(config: CliConfig): NamedCheck[] {
  return [...hubProxyChecks(config), ...poolProxyChecks(config)];
}

/** Which proxies requests to the hub go through, if any. */
function hubProxyChecks({ env }: CliConfig): NamedCheck[] {
  const proxy = proxySettings(env);
  if (!proxy) return [];
  const used = (["https", "http"] as const).flatMap((scheme) => {
    const label = proxyLabel(proxy, `${scheme}:`);
    return label === "" ? [] : [`${label} for ${scheme}`];
  });
  const except = proxy.noProxy === "" ? "" : `, except to ${proxy.noProxy}`;
  return [["proxy", { state: "ok", text: `requests to the hub go through ${used.join(" and ")}${except}` }]];
}

/** Which proxy calls to a pool of another machine go through, if any. */
function poolProxyChecks({ access: { proxy } }: CliConfig): NamedCheck[] {
  if (!proxy) return [];
  const except = ["this machine", ...(proxy.except === "" ? [] : [proxy.except])].join(" and ");
  const text = `calls to pools go through ${grpcProxyUrl(proxy).origin} (${proxy.variable}), except to ${except}`;
  return [["proxy", { state: "ok", text }]];
}

async function profileChecks({ home, env }: CliConfig): Promise<NamedCheck[]> {
  const path = configFile(home);
  const named = (...checks: Check[]) => checks.map((check): NamedCheck => ["config.yaml", check]);
  try {
    const file = await readConfigFile(home);
    if (!file) return named({ state: "ok", text: `${path} does not exist: no profiles` });
    const names = Object.keys(file.profiles);
    const problems = names.flatMap((one) => profileDefaults({ name: one, profile: file.profiles[one] ?? {} }).problems);
    for (const wanted of [env["GRADPOOL_PROFILE"], file.profile]) {
      if (wanted && !names.includes(wanted)) problems.push(`there is no profile ${wanted}; it has ${names.join(", ")}`);
    }
    if (problems.length > 0) return named(...problems.map((text) => problem(`${path}: ${text}`)));
    return named({ state: "ok", text: `${path}: ${counted(names.length, "profile")} (${names.join(", ")})` });
  } catch (error) {
    return named(problem(GradpoolError.from(error).message));
  }
}

async function fileChecks(file: string, train: Command): Promise<NamedCheck[]> {
  try {
    const content = await readYaml(file);
    if (content === undefined) return [[file, problem("does not exist; check its name")]];
    const { values, problems } = fileValues(content, train);
    if (problems.length > 0) return problems.map((text) => [file, problem(text)]);
    const flags = { ...train.opts(), ...Object.fromEntries(values) } as TrainFlags;
    plannedRun(flags);
    return [[file, { state: "ok", text: `${counted(values.size, "value")} for gradpool train` }]];
  } catch (error) {
    return [[file, problem(error instanceof Error ? error.message : String(error))]];
  }
}

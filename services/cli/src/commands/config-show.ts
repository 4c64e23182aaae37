/** gradpool config show: the effective settings and their sources. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, jsonOption, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { profileDefaults } from "../common-flags.js";
import { configFile } from "../settings/config-file.js";
import { facts } from "../terminal/format.js";

const HELP = `
Profiles are in config.yaml in $GRADPOOL_HOME (default: ~/.gradpool):

  profile: team            # the default; --profile and $GRADPOOL_PROFILE select another
  profiles:
    team:
      address: 10.0.0.5:7070
      checkpoint_store: 10.0.0.5:7074
      key_file: team.key   # in this folder, or an absolute path
      output: table
      defaults:            # for train and run submit, by the names of their flags
        learning_rate: 1e-4

In order of precedence: flags, --config FILE, a profile named by --profile, the environment, the default profile.

Examples:
  gradpool config show
  gradpool config show --profile team --output yaml
${HELP_TAIL}`;

export function addConfigShow(group: Command, options: ProgramOptions): void {
  group
    .command("show")
    .description("show the effective settings and their sources")
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action((flags: OutputFlags) => configShow(contextFor(flags, options)));
}

function configShow({ config, output }: CommandContext): void {
  const { home, profile, address, checkpointStoreAddress, hubEndpoint, models, origins } = config;
  const file = configFile(home);
  const defaults = Object.fromEntries(profileDefaults(profile).values);
  output.document({
    config_file: file,
    profile: profile?.name,
    address,
    address_from: origins.address,
    checkpoint_store: checkpointStoreAddress,
    checkpoint_store_from: checkpointStoreAddress && origins.checkpointStore,
    output: config.output,
    home,
    hub_endpoint: hubEndpoint,
    hub_cache: models.hub.cacheDir,
    defaults,
  });
  output.say(
    facts([
      ["config file", file],
      ["profile", profile?.name ?? "none"],
      ["address", `${address} (${origins.address})`],
      [
        "checkpoint store",
        checkpointStoreAddress ? `${checkpointStoreAddress} (${origins.checkpointStore})` : "started by each command",
      ],
      ["output", config.output],
      ["home", home],
      ["hub", hubEndpoint],
      ["hub cache", models.hub.cacheDir],
      ...Object.entries(defaults).map(([name, value]) => [`--${name}`, JSON.stringify(value)] as const),
    ]),
  );
}

/** gradpool config show: what counts here, and where it comes from. */
import { profileDefaults } from "../common-flags.js";
import type { CommandContext } from "../command-context.js";
import { configFile } from "../settings/config-file.js";
import { facts } from "../terminal/format.js";

export function configShow({ config, output }: CommandContext): void {
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
        checkpointStoreAddress ? `${checkpointStoreAddress} (${origins.checkpointStore})` : "one of each command's own",
      ],
      ["output", config.output],
      ["home", home],
      ["hub", hubEndpoint],
      ["hub cache", models.hub.cacheDir],
      ...Object.entries(defaults).map(([name, value]) => [`--${name}`, JSON.stringify(value)] as const),
    ]),
  );
}

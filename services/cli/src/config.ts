/** The one file that reads the environment. */
import type { AccessSources } from "@gradpool/access";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import type { ChosenProfile } from "./settings/config-file.js";
import { poolAccess, type AccessFlags } from "./settings/pool-access.js";
import type { OutputFormat } from "./terminal/output.js";

export interface CliConfig {
  /** Folder for logs, pid files, converted models and the runs of local pools: $GRADPOOL_HOME. */
  home: string;
  /** Key and certificates of pools: named by flags, environment or profile, or in this machine's files. */
  access: AccessSources;
  /** Where models are cached. */
  models: ModelPlaces;
  /** Coordinator of a running pool: $GRADPOOL_ADDRESS, or the profile's. */
  address: string;
  /** A running checkpoint store: $GRADPOOL_CHECKPOINT_STORE_ADDRESS, or the profile's. */
  checkpointStoreAddress?: string;
  /** Where models and data sets are fetched by name: $HF_ENDPOINT. */
  hubEndpoint: string;
  /** Where traces can be seen: $GRADPOOL_JAEGER_URL. */
  jaegerUrl: string;
  /** The whole environment, in which NVIDIA's driver and libraries find their own variables. */
  env: NodeJS.ProcessEnv;
  /** Show stack traces: $GRADPOOL_DEBUG. */
  debug: boolean;
  /** Of results, where no flag says otherwise. */
  output: OutputFormat;
  profile: ChosenProfile | undefined;
  /** Sources of address and checkpoint store, for people. */
  origins: { address: string; checkpointStore: string };
}

export const DEFAULT_PORT = 7070;

/** The variables that flags and profiles can set, too. */
export const ADDRESS_VARIABLE = "GRADPOOL_ADDRESS";
export const STORE_VARIABLE = "GRADPOOL_CHECKPOINT_STORE_ADDRESS";

/** Those that are gradpool's own. */
export const CLI_VARIABLES = [
  ADDRESS_VARIABLE,
  STORE_VARIABLE,
  "GRADPOOL_KEY",
  "GRADPOOL_KEY_FILE",
  "GRADPOOL_TLS_CA",
  "GRADPOOL_TLS_CERT",
  "GRADPOOL_TLS_KEY",
  "GRADPOOL_INSECURE",
  "GRADPOOL_HOME",
  "GRADPOOL_PROFILE",
  "GRADPOOL_DEBUG",
  "GRADPOOL_JAEGER_URL",
];

/** The profile that the environment names. */
export const profileOf = (env: NodeJS.ProcessEnv): string | undefined => env["GRADPOOL_PROFILE"] || undefined;

/** Flags that are read before the command is known. */
export interface EarlyFlags {
  /** A flag named the profile: then it overrides the environment. */
  isFirst?: boolean;
  access?: AccessFlags;
}

export function readCliConfig(
  env: NodeJS.ProcessEnv,
  profile?: ChosenProfile | undefined,
  { isFirst = false, access = {} }: EarlyFlags = {},
): CliConfig {
  const choose = (variable: string, ofProfile: string | undefined) => {
    const places: [origin: string, value: string | undefined][] = [
      [`$${variable}`, env[variable]],
      [`profile ${profile?.name}`, ofProfile],
    ];
    const [origin, value] = (isFirst ? places.reverse() : places).find(([, value]) => value) ?? ["default", undefined];
    return { origin, value };
  };
  const address = choose(ADDRESS_VARIABLE, profile?.profile.address);
  const sources = poolAccess(env, access, profile?.profile, isFirst);
  const store = choose(STORE_VARIABLE, profile?.profile.checkpoint_store);
  return {
    ...(store.value && { checkpointStoreAddress: store.value }),
    home: sources.home,
    access: sources,
    models: modelPlaces(env),
    address: address.value ?? `127.0.0.1:${DEFAULT_PORT}`,
    hubEndpoint: (env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, ""),
    jaegerUrl: (env["GRADPOOL_JAEGER_URL"] || "http://localhost:16686").replace(/\/+$/, ""),
    env,
    debug: !["", "0", "false", undefined].includes(env["GRADPOOL_DEBUG"]),
    output: profile?.profile.output ?? "table",
    profile,
    origins: { address: address.origin, checkpointStore: store.origin },
  };
}

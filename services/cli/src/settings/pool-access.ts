/**
 * Key and certificates of the pools that commands call, by precedence: flags, a profile that one names, environment, profile.
 * And the proxy, which the environment names.
 */
import { resolve } from "node:path";
import { accessSources, grpcProxy, wholeTlsFiles, type AccessSources, type TlsFiles } from "@gradpool/access";
import type { Profile } from "./config-file.js";

/** What flags say, read before the command is known. */
export interface AccessFlags {
  key_file?: string | undefined;
  tls_ca?: string | undefined;
  tls_cert?: string | undefined;
  tls_key?: string | undefined;
  insecure?: boolean | undefined;
}

/** `isProfileNamed`: a flag did. Errors: `invalid_argument` where one of the three files of TLS is missing. */
export function poolAccess(
  env: NodeJS.ProcessEnv,
  flags: AccessFlags,
  profile: Profile | undefined,
  isProfileNamed: boolean,
): AccessSources {
  const { home, key, keyFile, tls, isInsecure } = accessSources(env);
  const fromHome = (file: string | undefined) => file && resolve(home, file);
  const profileKey = fromHome(profile?.key_file);
  const named = flags.key_file ?? (isProfileNamed || !(key ?? keyFile) ? profileKey : undefined);
  const profileTls = profile && filesOf(profile, "", fromHome);
  const flagTls = filesOf(flags, "--", (file) => file && resolve(file));
  const files = flagTls ?? (isProfileNamed ? (profileTls ?? tls) : (tls ?? profileTls));
  return {
    ...(named ? { keyFile: named } : { key, keyFile }),
    tls: files && { ca: resolve(files.ca), cert: resolve(files.cert), key: resolve(files.key) },
    isInsecure: flags.insecure === true || isInsecure === true || profile?.insecure === true,
    proxy: grpcProxy(env),
    home,
  };
}

function filesOf(
  { tls_ca, tls_cert, tls_key }: AccessFlags,
  prefix: string,
  pathOf: (file: string | undefined) => string | undefined,
): TlsFiles | undefined {
  const names = { ca: `${prefix}tls_ca`, cert: `${prefix}tls_cert`, key: `${prefix}tls_key` };
  return wholeTlsFiles({ ca: pathOf(tls_ca), cert: pathOf(tls_cert), key: pathOf(tls_key) }, names);
}

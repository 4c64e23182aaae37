/**
 * How a program finds key and certificates of the pool that it calls: they are named, or it runs on the pool's machine
 * as its user.
 */
import { GradpoolError } from "@gradpool/errors";
import { hostAndPort, isThisMachine } from "./addresses.js";
import { Certificates } from "./certificates.js";
import type { GrpcProxy } from "./grpc-proxy.js";
import { gradpoolHome } from "./home-folder.js";
import { localKeyFile, readKeyFile, readOwnKeyFile } from "./key-file.js";
import { PoolKey } from "./pool-key.js";
import { checkDial, isInsecure, localTlsFiles, tlsFilesOf, type TlsFiles } from "./tls-files.js";

export interface AccessSources {
  /** File with the key. */
  keyFile?: string | undefined;
  /** $GRADPOOL_KEY; a file that is named overrides it. */
  key?: string | undefined;
  tls?: TlsFiles | undefined;
  /** Plain text may cross networks. */
  isInsecure?: boolean;
  /** On the way to other machines. */
  proxy?: GrpcProxy | undefined;
  /** Where this machine's pools keep theirs. */
  home: string;
}

/** What the environment says. Errors: those of tlsFilesOf. */
export function accessSources(env: NodeJS.ProcessEnv): AccessSources {
  const { GRADPOOL_KEY: key, GRADPOOL_KEY_FILE: keyFile } = env;
  const named = key ? { key } : keyFile ? { keyFile } : {};
  return { ...named, tls: tlsFilesOf(env), isInsecure: isInsecure(env), home: gradpoolHome(env) };
}

/** The key that is named. Errors: those of readKeyFile and PoolKey. */
export function givenKey({ keyFile, key }: AccessSources): PoolKey | undefined {
  if (keyFile) return readKeyFile(keyFile);
  return key ? new PoolKey(key, "GRADPOOL_KEY") : undefined;
}

/**
 * The key for the pool whose coordinator is at `address` ("host:port"): the one that is named, or for a pool of this
 * machine the one in its file. Another machine gets no key that was not named for it. Errors: those of givenKey.
 */
export function findKey(sources: AccessSources, address: string): PoolKey | undefined {
  const given = givenKey(sources);
  if (given) return given;
  const { host, port } = hostAndPort(address);
  return isThisMachine(host) ? readOwnKeyFile(localKeyFile(sources.home, port)) : undefined;
}

/**
 * The certificates for calls to `address` ("host:port"), found as findKey finds the key; undefined: the connection is
 * plain text. Errors: those of Certificates and checkDial.
 */
export function findCertificates(sources: AccessSources, address: string): Certificates | undefined {
  const files = sources.tls ?? localTlsFiles(sources.home, address);
  if (files) return new Certificates(files);
  checkDial(address, sources);
  return undefined;
}

/** "host:port" of the coordinator that a service calls, the first if there are several; empty: none. */
export const coordinatorOf = (env: NodeJS.ProcessEnv): string =>
  (env["GRADPOOL_COORDINATOR_ADDRESS"] ?? "").split(",")[0] ?? "";

/**
 * The key of a service: the one that is named, or that of the pool of this machine whose coordinator it calls.
 * Errors: those of findKey; `invalid_argument` where there is none.
 */
export function serviceKey(env: NodeJS.ProcessEnv): PoolKey {
  const key = findKey(accessSources(env), coordinatorOf(env));
  if (key) return key;
  const problem = "GRADPOOL_KEY: a service answers nobody without the pool's key, and there is none";
  throw new GradpoolError("invalid_argument", `${problem}; set it, or GRADPOOL_KEY_FILE, and start again`);
}

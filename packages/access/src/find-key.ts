/** How a program finds the key of the pool that it calls: it is told, or it runs on the pool's machine as its user. */
import { networkInterfaces } from "node:os";
import { GradpoolError } from "@gradpool/errors";
import { gradpoolHome } from "./home-folder.js";
import { localKeyFile, readKeyFile, readOwnKeyFile } from "./key-file.js";
import { PoolKey } from "./pool-key.js";

/** The first that is there counts. */
export interface KeySources {
  /** File that is named. */
  keyFile?: string | undefined;
  /** $GRADPOOL_KEY. */
  key?: string | undefined;
  /** Folder with the key files of this machine's pools. */
  home: string;
}

/** What the environment says. */
export function keySources(env: NodeJS.ProcessEnv): KeySources {
  const { GRADPOOL_KEY: key, GRADPOOL_KEY_FILE: keyFile } = env;
  return { ...(key ? { key } : keyFile ? { keyFile } : {}), home: gradpoolHome(env) };
}

/** The key that is named. Errors: those of readKeyFile and PoolKey. */
export function givenKey({ keyFile, key }: KeySources): PoolKey | undefined {
  if (keyFile) return readKeyFile(keyFile);
  return key ? new PoolKey(key, "GRADPOOL_KEY") : undefined;
}

/**
 * The key for the pool whose coordinator is at `address` ("host:port"): the one that is named, or for a pool of this
 * machine the one in its file. Another machine gets no key that was not named for it. Errors: those of givenKey.
 */
export function findKey(sources: KeySources, address: string): PoolKey | undefined {
  const given = givenKey(sources);
  if (given) return given;
  const { host, port } = hostAndPort(address);
  return isThisMachine(host) ? readOwnKeyFile(localKeyFile(sources.home, port)) : undefined;
}

/**
 * The key of a service: the one that is named, or that of the pool of this machine whose coordinator it calls.
 * Errors: those of findKey; `invalid_argument` where there is none.
 */
export function serviceKey(env: NodeJS.ProcessEnv): PoolKey {
  const coordinator = env["GRADPOOL_COORDINATOR_ADDRESS"] ?? "";
  const key = findKey(keySources(env), coordinator);
  if (key) return key;
  const problem = "GRADPOOL_KEY: a service answers nobody without the pool's key, and there is none";
  throw new GradpoolError("invalid_argument", `${problem}; set it, or GRADPOOL_KEY_FILE, and start again`);
}

/** Of "host:port". */
export function hostAndPort(address: string): { host: string; port: string } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: address.slice(colon + 1) };
}

/** Whether nobody else's machine can answer there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function isThisMachine(host: string): boolean {
  const own = () => Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
  return isLoopback(host) || own().includes(host);
}

import { Certificates } from "./certificates.js";
import { coordinatorOf, serviceKey } from "./find-access.js";
import { gradpoolHome } from "./home-folder.js";
import type { PoolKey } from "./pool-key.js";
import { rootsOf, type Roots } from "./roots.js";
import { isInsecure, localTlsFiles, tlsFilesOf } from "./tls-files.js";

/** Whom a process answers, and how it shows others who it is. */
export interface Access {
  /** Asked of whoever calls it, and sent with its own calls: a pool has one key. */
  key: PoolKey;
  /** For all its gRPC connections, on both sides; undefined: they are plain text. */
  tls?: Certificates | undefined;
  /** Plain text may cross networks. */
  isInsecure?: boolean;
  /** What its callers may name. */
  roots?: Roots;
}

/**
 * What the environment says to a service. `onProblem` is called when renewed certificates cannot be used. Errors: those
 * of serviceKey, tlsFilesOf, Certificates and rootsOf.
 */
export function readAccess(env: NodeJS.ProcessEnv, onProblem: (problem: string) => void): Access {
  const key = serviceKey(env);
  const files = tlsFilesOf(env) ?? localTlsFiles(gradpoolHome(env), coordinatorOf(env));
  const tls = files && new Certificates(files, onProblem);
  return { key, tls, isInsecure: isInsecure(env), roots: rootsOf(env).roots };
}

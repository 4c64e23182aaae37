import { serviceKey } from "./find-key.js";
import type { PoolKey } from "./pool-key.js";

/** Whom a process answers, and how it shows others who it is. */
export interface Access {
  /** Asked of whoever calls it, and sent with its own calls: a pool has one key. */
  key: PoolKey;
}

/** What the environment says to a service. Errors: those of serviceKey. */
export function readAccess(env: NodeJS.ProcessEnv): Access {
  return { key: serviceKey(env) };
}

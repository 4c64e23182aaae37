import { findKey, type KeySources } from "@gradpool/access";
import { createClient, withKey, type Client, type Definition, type Interceptor } from "@gradpool/rpc";

/** A client of a service at "host:port", which sends it the pool's key: the one place where the command line gets its clients. */
export function connect<S extends Definition>(
  definition: S,
  address: string,
  keys: KeySources,
  interceptors: readonly Interceptor[] = [],
): Client<S> {
  return createClient(definition, address, [...interceptors, withKey(() => findKey(keys, address))]);
}

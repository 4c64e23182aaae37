import { findCertificates, findKey, type AccessSources } from "@gradpool/access";
import { createClient, withKey, type Client, type Definition, type Interceptor } from "@gradpool/rpc";

/**
 * A client of a service at "host:port", with the pool's key and certificates: the one place where the command line gets its
 * clients. Errors: those of findCertificates.
 */
export function connect<S extends Definition>(
  definition: S,
  address: string,
  access: AccessSources,
  interceptors: readonly Interceptor[] = [],
): Client<S> {
  const tls = findCertificates(access, address);
  return createClient(definition, address, [...interceptors, withKey(() => findKey(access, address))], tls);
}

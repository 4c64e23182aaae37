import { findCertificates, findKey, proxyTo, type AccessSources } from "@gradpool/access";
import { createClient, withKey, type Client, type Definition, type Interceptor } from "@gradpool/rpc";

/**
 * A client of a service at "host:port", with the pool's key and certificates, on another machine through the proxy: the one
 * place where the command line gets its clients. Errors: those of findCertificates and proxyTo.
 */
export function connect<S extends Definition>(
  definition: S,
  address: string,
  access: AccessSources,
  interceptors: readonly Interceptor[] = [],
): Client<S> {
  const tls = findCertificates(access, address);
  const keyed = withKey(() => findKey(access, address));
  return createClient(definition, address, [...interceptors, keyed], tls, proxyTo(address, access.proxy));
}

/** The way to `address`, for people: the address, and the proxy if one is used. Errors: those of proxyTo. */
export function routeTo(address: string, { proxy }: AccessSources): string {
  const url = proxyTo(address, proxy);
  return url ? `${address} through the proxy ${url.origin} (${proxy?.variable})` : address;
}

import { hostAndPort } from "./addresses.js";

const WILDCARDS: readonly string[] = ["0.0.0.0", "::"];

/** What the system says that has no IPv6. */
const NO_IPV6 = /EAFNOSUPPORT|EADDRNOTAVAIL/;

/**
 * Listens with `bind` at `listen` ("host:port"). Both wildcards mean every interface, as in gRPC's C core: of both families where
 * the system has both, else of IPv4. Returns what `bind` does, and the host. Errors: those of `bind`.
 */
export async function bindEvery<T>(
  listen: string,
  bind: (address: string) => Promise<T>,
): Promise<{ bound: T; host: string }> {
  const { host, port } = hostAndPort(listen);
  if (!WILDCARDS.includes(host)) return { bound: await bind(listen), host };
  try {
    return { bound: await bind(`[::]:${port}`), host };
  } catch (error) {
    const { message, cause } = error as Error;
    if (!NO_IPV6.test(`${message} ${String(cause)}`)) throw error;
  }
  return { bound: await bind(`0.0.0.0:${port}`), host: "0.0.0.0" };
}

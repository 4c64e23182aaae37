import { createClient, type Client, type Definition, type Interceptor } from "@gradpool/rpc";

/** A client of a service at "host:port": the one place where the command line gets its clients. */
export function connect<S extends Definition>(
  definition: S,
  address: string,
  interceptors: readonly Interceptor[] = [],
): Client<S> {
  return createClient(definition, address, interceptors);
}

/** The pool's key on each call: clients send it as gRPC's users expect, servers ask for it before they read a message. */
import { authorizationOf, refusalOf, type PoolKey } from "@gradpool/access";
import { ServerInterceptingCall, status, type ServerInterceptor } from "@grpc/grpc-js";
import type { Connections } from "./connections.js";
import { isHealthCheck, type Interceptor } from "./interceptor.js";

const HEADER = "authorization";

/** Sends the key with each call of a client. `find` is asked each time: a pool that starts again may have another. */
export function withKey(find: () => PoolKey | undefined): Interceptor {
  return (next) => (call) => {
    const key = find();
    if (!key) return next(call);
    const metadata = call.metadata.clone();
    metadata.set(HEADER, authorizationOf(key));
    return next({ ...call, metadata });
  };
}

export interface KeyCheckOptions {
  key: PoolKey;
  /** Called for each call without the key. */
  onRefused?: ((method: string) => void) | undefined;
  connections: Pick<Connections, "called" | "proved">;
}

/**
 * Refuses calls that lack the key, health checks aside. It is not a link of the chain but runs before it: what such a
 * call sends is thrown away unread, and costs no memory.
 */
export function keyCheck({ key, onRefused, connections }: KeyCheckOptions): ServerInterceptor {
  return ({ path }, call) => {
    const peer = call.getPeer();
    connections.called(peer);
    if (isHealthCheck({ path })) return call as ServerInterceptingCall;
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            const details = refusalOf(metadata.get(HEADER)[0]?.toString(), key);
            // Nobody after this has a use for it.
            metadata.remove(HEADER);
            if (details === "") {
              connections.proved(peer);
              return pass(metadata);
            }
            onRefused?.(path);
            call.sendStatus({ code: status.UNAUTHENTICATED, details });
          },
        });
      },
    });
  };
}

/** The pool's key on each call: clients send it as gRPC's users expect, servers ask for it before they read a message. */
import { authorizationOf, refusalOf, type PoolKey } from "@gradpool/access";
import { ServerInterceptingCall, status, type ServerInterceptor } from "@grpc/grpc-js";
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

/**
 * Refuses calls that lack the key, health checks aside. It is not a link of the chain but runs before it: what such a
 * call sends is thrown away unread, and costs no memory. `onRefused` is called for each.
 */
export function keyCheck(key: PoolKey, onRefused: (method: string) => void = () => {}): ServerInterceptor {
  return ({ path }, call) =>
    isHealthCheck({ path })
      ? (call as ServerInterceptingCall)
      : new ServerInterceptingCall(call, {
          start(next) {
            next({
              onReceiveMetadata(metadata, pass) {
                const details = refusalOf(metadata.get(HEADER)[0]?.toString(), key);
                // Nobody after this has a use for it.
                metadata.remove(HEADER);
                if (details === "") return pass(metadata);
                onRefused(path);
                call.sendStatus({ code: status.UNAUTHENTICATED, details });
              },
            });
          },
        });
}

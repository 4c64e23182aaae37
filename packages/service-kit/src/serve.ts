/** What every service has around its work: a server with the chain of all calls, metrics, clients, and a clean stop. */
import { setMaxListeners } from "node:events";
import { checkDial, type Access } from "@gradpool/access";
import type { Client, Definition, Interceptor, RunningServer, ServedService } from "@gradpool/rpc";
import { Registry } from "prom-client";
import { watchExpiry } from "./certificate-expiry.js";
import { grpcObserver } from "./grpc-metrics.js";
import type { HttpRoute } from "./http-server.js";
import type { Logger } from "./logger.js";
import { guardListener } from "./plain-text.js";
import type { Service } from "./run-service.js";

export interface ServeOptions {
  /** "host:port"; port 0 takes any free one. */
  listen: string;
  log: Logger;
  /** Whom it answers, and as whom it calls other services. */
  access: Access;
  /** For every call, health checks and reflection included; the first is the outermost. */
  interceptors?: readonly Interceptor[];
  /** How long open calls may continue after the server stopped accepting new ones; 2 s unless given. */
  shutdownGraceMs?: number;
}

type Part = Disposable | AsyncDisposable;

/** What a service is created with. */
export interface Scope {
  metrics: Registry;
  /** Aborted as soon as the service begins to stop. */
  stopping: AbortSignal;
  /** Disposes `part` after the server has ended, or when the service cannot start; the last first. */
  own<P extends Part>(part: P): P;
  connect: Connect;
  /** Checks another service at "host:port": empty when it serves, else what is wrong. */
  problemAt(address: string): Promise<string>;
}

/**
 * Makes a client of another service, at "host:port": the one place where services get their clients. The caller
 * disposes it.
 */
export type Connect = <S extends Definition>(definition: S, address: string) => Client<S>;

/** What a service consists of. */
export interface Parts {
  services: ServedService[];
  /** Routes of its HTTP port besides /metrics, /healthz and /readyz. */
  httpRoutes?: readonly HttpRoute[];
  /** Why it cannot serve now, such as an unavailable service it needs; empty: it can. */
  problem?(): Promise<string>;
  /** Called once it listens, at "host:port". */
  started?(address: string): void;
  /** Finishes work in progress when it stops; calls are still answered. */
  drain?(): Promise<void>;
}

/**
 * Starts a service: creates its parts, then listens. When disposed it stops: health checks report it at once,
 * `stopping` aborts, it drains, the server ends, and then what it owns. Errors: those of `create`, after which what was
 * made is disposed; `unavailable` when the port is taken.
 */
export async function serve(
  { listen, log, access, interceptors = [], shutdownGraceMs }: ServeOptions,
  create: (scope: Scope) => Parts | Promise<Parts>,
): Promise<Service> {
  // The command line and worker threads use this package, too, and need no gRPC.
  const { createClient, healthProblem, observed, startServer, withKey } = await import("@gradpool/rpc");
  const metrics = new Registry();
  const stopping = new AbortController();
  // There is one listener per open call.
  setMaxListeners(0, stopping.signal);
  const owned: Part[] = [];
  const own = <P extends Part>(part: P): P => {
    owned.push(part);
    return part;
  };
  const { key, tls } = access;
  const connect: Connect = (definition, address) => {
    checkDial(address, access);
    return createClient(definition, address, [withKey(() => key)], tls);
  };
  const problemAt = (address: string) => healthProblem(address, tls);
  let parts: Parts | undefined;
  let server: RunningServer | undefined;
  const stop = async () => {
    server?.notServing();
    stopping.abort();
    await parts?.drain?.();
    await server?.[Symbol.asyncDispose]();
    for (const part of owned.splice(0).reverse()) await dispose(part);
  };
  try {
    own(guardListener(listen, access, "GRADPOOL_LISTEN", log));
    own(watchExpiry(tls, metrics, log));
    parts = await create({ metrics, stopping: stopping.signal, own, connect, problemAt });
    const methods = parts.services.flatMap(({ definition }) => Object.values(definition).map(({ path }) => path));
    const observe = grpcObserver(metrics, methods);
    server = await startServer({
      ...{ listen, services: parts.services, shutdownGraceMs, key, tls },
      interceptors: [observed(observe), ...interceptors],
      onRefused: (method) => observe({ method, code: "unauthenticated", seconds: 0 }),
      onInternalError: (error, method) => log.error({ err: error, method }, "internal error"),
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const { address } = server;
  const { httpRoutes = [], problem, started } = parts;
  started?.(address);
  return { address, metrics, httpRoutes, ...(problem && { problem }), [Symbol.asyncDispose]: stop };
}

async function dispose(part: Part): Promise<void> {
  if (Symbol.asyncDispose in part) await part[Symbol.asyncDispose]();
  else part[Symbol.dispose]();
}

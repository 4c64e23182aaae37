import { once } from "node:events";
import { readAccess, type Access } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { startTracing } from "@gradpool/tracing";
import { collectDefaultMetrics, type Registry } from "prom-client";
import { processVariables, readConfig } from "./config.js";
import { startHttpServer, type HttpRoute, type RunningHttpServer } from "./http-server.js";
import type { HttpAccess } from "./http-guard.js";
import { createLogger, type Logger } from "./logger.js";
import { guardListener } from "./plain-text.js";
import { processRoutes } from "./process-routes.js";

/** A service from outside: it has started when created, and stops when disposed. */
export interface Service extends AsyncDisposable {
  /** "host:port" of its gRPC server. */
  address: string;
  /** Its metrics. */
  metrics: Registry;
  /** Routes of its HTTP port besides /metrics, /healthz and /readyz. */
  httpRoutes?: readonly HttpRoute[];
  /** Why it cannot serve now, such as an unavailable service it needs; empty: it can. */
  problem?(): Promise<string>;
}

/** Message to the process that started it, over Node's IPC channel. */
export type ServiceMessage =
  | {
      type: "ready";
      /** "host:port" of its gRPC server. */
      address: string;
      /** "host:port" of its HTTP port; absent: it has none. */
      httpAddress?: string;
    }
  | { type: "failed"; code: string; message: string };

/** Argument of a service that is to wait for an EnvironmentMessage. */
export const AWAIT_ENVIRONMENT = "--await-environment";

/**
 * Message from the process that started it: the variables that this one did not know yet, such as the addresses of services
 * that start at the same time.
 */
export interface EnvironmentMessage {
  type: "environment";
  variables: Readonly<Record<string, string>>;
}

/** A shell's exit code for a process ended by a signal. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 };
type EndSignal = keyof typeof EXIT_CODES;

/**
 * Runs a service as this process: creates it, reports where it listens, and disposes it on SIGTERM,
 * SIGINT, or when the process that started it is gone. Exit code 0 after a clean end, 1 after an error
 * or an end that took longer than GRADPOOL_STOP_GRACE_SECONDS. A second signal ends it at once.
 */
export async function runService(
  name: string,
  create: (env: NodeJS.ProcessEnv, log: Logger, access: Access) => Promise<Service>,
): Promise<void> {
  const log = createLogger(name, process.env);
  // Before it is ready there is nothing to stop cleanly.
  const giveUp = () => process.exit(1);
  process.once("disconnect", giveUp);
  // A container's first process ignores signals without a listener.
  onEndSignals(endAtOnce);
  // The parent may be gone before this file was read; without one it is undefined.
  if (process.connected === false) giveUp();
  // Its modules are loaded by now: services load theirs at the same time, and wait for others only here.
  if (process.argv.includes(AWAIT_ENVIRONMENT)) await environmentFromParent();
  const tracing = await startTracing(`gradpool-${name}`, process.env, (message) => log.warn(message));
  const state = { isStopping: false };
  let service: Service;
  let http: RunningHttpServer | undefined;
  let graceSeconds: number;
  try {
    const variables = readConfig(processVariables, process.env);
    const access = readAccess(process.env, (problem) => log.error(problem));
    const { GRADPOOL_HTTP_LISTEN: httpListen, GRADPOOL_HTTP_HOSTS: hosts = [] } = variables;
    if (access.roots) log.info({ roots: access.roots }, "runs may use files there alone; GRADPOOL_ROOTS decides");
    graceSeconds = variables.GRADPOOL_STOP_GRACE_SECONDS;
    if (httpListen !== undefined) guardListener(httpListen, access, "GRADPOOL_HTTP_LISTEN", log);
    service = await create(process.env, log, access);
    if (httpListen !== undefined) http = await serveHttp(httpListen, { ...access, hosts }, service, state, log);
  } catch (reason) {
    process.off("disconnect", giveUp);
    const error = GradpoolError.from(reason);
    log.fatal(error.code === "internal" ? { err: reason } : { code: error.code }, error.message);
    tellParent({ type: "failed", code: error.code, message: error.message });
    process.exitCode = 1;
    await tracing[Symbol.asyncDispose]();
    if (process.connected) process.disconnect();
    return;
  }
  // Before the service is reported as ready: from then on it may be asked to stop.
  const ended = endRequested();
  process.off("disconnect", giveUp);
  const addresses = { address: service.address, ...(http ? { httpAddress: http.address } : {}) };
  log.info({ ...addresses, pid: process.pid }, "ready");
  tellParent({ type: "ready", ...addresses });
  const why = await ended;
  state.isStopping = true;
  log.info({ why }, "stopping");
  // The process that asked for it may be gone: nothing else would end a service that hangs.
  setTimeout(() => {
    log.error(`not stopped after ${graceSeconds} s`);
    process.exit(1);
  }, 1000 * graceSeconds).unref();
  await service[Symbol.asyncDispose]();
  await tracing[Symbol.asyncDispose]();
  // Last: until then the probes report that it is stopping.
  await http?.[Symbol.asyncDispose]();
  process.exit(0);
}

/** Errors: `unavailable` when the port is taken; the service is then stopped. */
async function serveHttp(
  listen: string,
  access: HttpAccess,
  service: Service,
  state: { readonly isStopping: boolean },
  log: Logger,
): Promise<RunningHttpServer> {
  const problem = async () => (state.isStopping ? "it is stopping" : ((await service.problem?.()) ?? ""));
  const routes = [...processRoutes({ metrics: service.metrics, problem }), ...(service.httpRoutes ?? [])];
  const onInternalError = (error: unknown, path: string) => log.error({ err: error, path }, "internal error");
  // The process's own: event-loop lag, garbage collection, memory, processor time, open files.
  collectDefaultMetrics({ register: service.metrics });
  try {
    return await startHttpServer({ listen, routes, access, onInternalError });
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

async function environmentFromParent(): Promise<void> {
  const [message] = (await once(process, "message")) as [EnvironmentMessage];
  Object.assign(process.env, message.variables);
}

function tellParent(message: ServiceMessage): void {
  // A parent that is gone by now shows as "disconnect".
  process.send?.(message, undefined, undefined, () => {});
}

const endAtOnce = (signal: EndSignal) => process.exit(EXIT_CODES[signal]);

/** From now on only `listener` handles signals that ask for an end. */
function onEndSignals(listener: (signal: EndSignal) => void): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.removeAllListeners(signal);
    process.on(signal, listener);
  }
}

function endRequested(): Promise<string> {
  return new Promise((resolve) => {
    onEndSignals((signal) => {
      onEndSignals(endAtOnce);
      resolve(signal);
    });
    if (process.channel) process.once("disconnect", () => resolve("the parent process is gone"));
  });
}

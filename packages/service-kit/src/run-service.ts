import { GradpoolError } from "@gradpool/errors";
import { startTracing } from "@gradpool/tracing";
import { createLogger, type Logger } from "./logger.js";

/** What a service looks like from outside: it has begun when created, and ends when disposed. */
export interface Service extends AsyncDisposable {
  /** "host:port" of its gRPC server. */
  address: string;
}

/** What a service tells the process that started it, over Node's IPC channel. */
export type ServiceMessage = { type: "ready"; address: string } | { type: "failed"; code: string; message: string };

/** How long a service may take to end in order. Whoever asked for it may be gone: nobody else would end one that hangs. */
const STOP_GRACE_MS = 10_000;

/**
 * Runs a service as this process: creates it, says where it listens, and disposes it on SIGTERM,
 * SIGINT, or when the process that started it is gone. Exit code 0 after a clean end, 1 after an error
 * or an end that took too long.
 */
export async function runService(
  name: string,
  create: (env: NodeJS.ProcessEnv, log: Logger) => Promise<Service>,
): Promise<void> {
  const log = createLogger(name, process.env);
  // Before it is ready there is nothing to end in order.
  const giveUp = () => process.exit(1);
  process.once("disconnect", giveUp);
  // The parent may be gone before this file was read; without one it is undefined.
  if (process.connected === false) giveUp();
  const tracing = await startTracing(`gradpool-${name}`, process.env, (message) => log.warn(message));
  let service: Service;
  try {
    service = await create(process.env, log);
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
  // Before anyone learns that the service is ready: from then on it may be asked to end.
  const ended = endRequested();
  process.off("disconnect", giveUp);
  log.info({ address: service.address, pid: process.pid }, "ready");
  tellParent({ type: "ready", address: service.address });
  const why = await ended;
  log.info({ why }, "stopping");
  setTimeout(() => {
    log.error(`not stopped after ${STOP_GRACE_MS / 1000} s`);
    process.exit(1);
  }, STOP_GRACE_MS).unref();
  await service[Symbol.asyncDispose]();
  await tracing[Symbol.asyncDispose]();
  process.exit(0);
}

function tellParent(message: ServiceMessage): void {
  // A parent that is gone by now shows as "disconnect".
  process.send?.(message, undefined, undefined, () => {});
}

function endRequested(): Promise<string> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve("SIGTERM"));
    process.once("SIGINT", () => resolve("SIGINT"));
    if (process.channel) process.once("disconnect", () => resolve("the parent process is gone"));
  });
}

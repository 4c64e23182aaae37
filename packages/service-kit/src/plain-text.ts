import { checkListen, hostAndPort, isLoopback, type Access } from "@gradpool/access";
import type { Logger } from "./logger.js";

const HOUR_MS = 3_600_000;

/**
 * Refuses to listen where others could read along, unless that is allowed: then the log says so each hour, until it is
 * disposed. `variable` names what was set. Errors: those of checkListen.
 */
export function guardListener(
  listen: string,
  access: Pick<Access, "tls" | "isInsecure">,
  variable: string,
  log: Pick<Logger, "warn">,
): Disposable {
  checkListen(listen, access, variable);
  if (access.tls || isLoopback(hostAndPort(listen).host)) return { [Symbol.dispose]() {} };
  const warn = () => log.warn({ listen }, "not encrypted: whoever is on the network can read the pool's key and data");
  warn();
  const timer = setInterval(warn, HOUR_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

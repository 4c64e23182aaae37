import type { Certificates } from "@gradpool/access";
import { Gauge, type Registry } from "prom-client";
import type { Logger } from "./logger.js";

const DAY_MS = 86_400_000;

/** Exports when a service's certificates expire, and has the log say so each day of the last thirty, until it is disposed. */
export function watchExpiry(
  tls: Pick<Certificates, "files" | "expiresAt" | "expiryNotice"> | undefined,
  metrics: Registry,
  log: Pick<Logger, "warn">,
): Disposable {
  new Gauge({
    name: "gradpool_certificate_expiry_timestamp_seconds",
    help: "When the service's certificate expires, in seconds since 1970; absent without one",
    registers: [metrics],
    labelNames: ["file"],
    collect() {
      if (tls) this.set({ file: tls.files.cert }, tls.expiresAt.getTime() / 1000);
    },
  });
  const warn = () => {
    const notice = tls?.expiryNotice();
    if (notice) log.warn(notice);
  };
  warn();
  const timer = setInterval(warn, DAY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Routes of every service's HTTP port. */
import type { Registry } from "prom-client";
import { sendText, type HttpRoute } from "./http-server.js";

export interface ProcessState {
  metrics: Registry;
  /** Why it cannot serve now; empty: it can. */
  problem(): Promise<string>;
}

/** /metrics for Prometheus; /healthz: the process lives; /readyz: it can serve, else 503 and why. */
export function processRoutes({ metrics, problem }: ProcessState): HttpRoute[] {
  return [
    {
      method: "GET",
      path: "/metrics",
      handle: async (_request, response) => sendText(response, 200, await metrics.metrics(), metrics.contentType),
    },
    {
      method: "GET",
      path: "/healthz",
      isOpen: true,
      handle: (_request, response) => sendText(response, 200, "ok\n"),
    },
    {
      method: "GET",
      path: "/readyz",
      isOpen: true,
      handle: async (_request, response) => {
        const reason = await problem();
        sendText(response, reason ? 503 : 200, reason ? `not ready: ${reason}\n` : "ready\n");
      },
    },
  ];
}

import { ERROR_CODES } from "@gradpool/errors";
import type { AnsweredCall } from "@gradpool/rpc";
import { Counter, Histogram, type Registry } from "prom-client";

/** From quick answers to streams that last as long as a run. */
const SECONDS_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600, 3600];

/**
 * Counts and times the calls of a gRPC server: give it to `observed`. The `methods` that it serves have all their
 * series from the start: of a counter that is born with a 1, Prometheus' increase() is 0.
 */
export function grpcObserver(registry: Registry, methods: readonly string[]): (call: AnsweredCall) => void {
  const registers = [registry];
  const requests = new Counter({
    name: "gradpool_grpc_requests_total",
    help: "gRPC calls answered, by method and result (ok or the error's code).",
    labelNames: ["method", "code"],
    registers,
  });
  const seconds = new Histogram({
    name: "gradpool_grpc_request_seconds",
    help: "Time from a gRPC call's arrival to its response, or to the end of its stream.",
    labelNames: ["method"],
    buckets: SECONDS_BUCKETS,
    registers,
  });
  for (const method of methods) {
    seconds.zero({ method });
    for (const code of ["ok", ...ERROR_CODES]) requests.inc({ method, code }, 0);
  }
  return ({ method, code, seconds: taken }) => {
    requests.inc({ method, code });
    seconds.observe({ method }, taken);
  };
}

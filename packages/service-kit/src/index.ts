export type { Access } from "@gradpool/access";
export { dialAddress, formatAddress, parseListenAddress, type ListenAddress } from "./listen-address.js";
export {
  finishMsOf,
  listenAddress,
  processVariables,
  readConfig,
  serviceAddress,
  serviceAddresses,
  stopGraceSeconds,
} from "./config.js";
export {
  httpStatusOf,
  readBody,
  sendText,
  startHttpServer,
  type HttpRoute,
  type HttpServerOptions,
  type RunningHttpServer,
} from "./http-server.js";
export { KEY_PARAMETER, type HttpAccess } from "./http-guard.js";
export { Backoff, type BackoffBounds } from "./backoff.js";
export { BoundedLabels, OTHER } from "./bounded-labels.js";
export { grpcObserver } from "./grpc-metrics.js";
export { createLogger, type Logger } from "./logger.js";
export { MetricSet, type Reading } from "./metric-set.js";
export {
  AWAIT_ENVIRONMENT,
  runService,
  type EnvironmentMessage,
  type Service,
  type ServiceMessage,
} from "./run-service.js";
export { Registry } from "prom-client";
export { serve, type Connect, type Parts, type Scope, type ServeOptions } from "./serve.js";
export { readPidFile, writePidFile, type PidFile } from "./pid-file.js";
export { identityOf, isAlive, processIdentity, type ProcessIdentity } from "./process-identity.js";
export { absoluteOutputDir, OBJECT_STORE_SCHEME } from "./output-dir.js";

export { listenAddress, readConfig, serviceAddress } from "./config.js";
export { createLogger, runService, type Logger, type Service, type ServiceMessage } from "./run-service.js";

export { listenAddress, readConfig, serviceAddress } from "./config.js";
export { createLogger, type Logger } from "./logger.js";
export { runService, type Service, type ServiceMessage } from "./run-service.js";
export { readPidFile, writePidFile, type PidFile } from "./pid-file.js";
export { identityOf, isAlive, processIdentity, type ProcessIdentity } from "./process-identity.js";

export { listenAddress, readConfig, serviceAddress } from "./config.js";
export { createLogger, runService, type Logger, type Service, type ServiceMessage } from "./run-service.js";
export { readPidFile, writePidFile, type PidFile } from "./pid-file.js";
export { identityOf, isAlive, processIdentity, type ProcessIdentity } from "./process-identity.js";

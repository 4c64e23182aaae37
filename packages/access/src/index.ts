export { readAccess, type Access } from "./access.js";
export { findKey, givenKey, hostAndPort, isLoopback, keySources, serviceKey, type KeySources } from "./find-key.js";
export { forgetKey, keepKey, localKeyFile, readKeyFile, readOwnKeyFile } from "./key-file.js";
export { authorizationOf, PoolKey, refusalOf } from "./pool-key.js";
export { gradpoolHome, homeFolder } from "./home-folder.js";

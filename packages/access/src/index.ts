export { readAccess, type Access } from "./access.js";
export { hostAndPort, isLoopback } from "./addresses.js";
export { Certificates, type TlsMaterial } from "./certificates.js";
export { accessSources, findCertificates, findKey, givenKey, serviceKey, type AccessSources } from "./find-access.js";
export { grpcProxy, grpcProxyUrl, proxyTo, proxyUrl, type GrpcProxy } from "./grpc-proxy.js";
export { gradpoolHome, homeFolder } from "./home-folder.js";
export { forgetKey, keepKey, localKeyFile, readKeyFile, readOwnKeyFile } from "./key-file.js";
export { authorizationOf, PoolKey, refusalOf } from "./pool-key.js";
export { checkDial, checkListen, keepTlsFiles, tlsEnvironment, wholeTlsFiles, type TlsFiles } from "./tls-files.js";

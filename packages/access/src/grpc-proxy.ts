/**
 * A proxy on the way to a pool of another machine (docs/decisions/0042-proxies-for-grpc.md). Only who calls from outside the
 * pool uses one; services never do.
 */
import { BlockList, isIP } from "node:net";
import { GradpoolError } from "@gradpool/errors";
import { hostAndPort, isThisMachine } from "./addresses.js";

/** What the environment says, as gRPC's other implementations read it. */
export interface GrpcProxy {
  /** Such as grpc_proxy. */
  variable: string;
  /** Its value, which may hold a password. */
  value: string;
  /** Hosts that are reached without it, separated by commas. */
  except: string;
}

/** grpc_proxy with no_grpc_proxy or no_proxy, also in capitals; undefined: no proxy. */
export function grpcProxy(env: NodeJS.ProcessEnv): GrpcProxy | undefined {
  const named = (...names: string[]) => names.flatMap((one) => [one, one.toUpperCase()]).find((one) => env[one]);
  const variable = named("grpc_proxy");
  if (variable === undefined) return undefined;
  return { variable, value: env[variable] ?? "", except: env[named("no_grpc_proxy", "no_proxy") ?? ""] ?? "" };
}

/** Errors: those of proxyUrl, also for a proxy that itself wants TLS. */
export function grpcProxyUrl({ value, variable }: GrpcProxy): URL {
  const url = new URL(proxyUrl(value, variable));
  if (url.protocol === "http:") return url;
  throw notAProxy(variable);
}

/**
 * The URL of the proxy for calls to `address` ("host:port"); undefined: none, as always on this machine.
 * Errors: those of grpcProxyUrl.
 */
export function proxyTo(address: string, proxy: GrpcProxy | undefined): URL | undefined {
  if (!proxy || isThisMachine(hostAndPort(address).host) || isExcepted(address, proxy.except)) return undefined;
  return grpcProxyUrl(proxy);
}

/**
 * A URL, where `value` may lack the scheme. Errors: `invalid_argument`, naming the variable and never its value, which may
 * hold a password.
 */
export function proxyUrl(value: string, variable: string): string {
  const text = /^\w+:\/\//.test(value) ? value : `http://${value}`;
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw notAProxy(variable);
}

const notAProxy = (variable: string) =>
  new GradpoolError("invalid_argument", `${variable} is not the address of an HTTP proxy; set http://HOST:PORT`);

/** Entries are hosts, with their subdomains, perhaps with a port; addresses; ranges such as 10.0.0.0/8; or * for all. */
function isExcepted(address: string, list: string): boolean {
  const { host, port } = hostAndPort(address.toLowerCase());
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === "*") return true;
      const [range = "", bits] = entry.split("/");
      if (bits !== undefined) return isInRange(host, range, Number(bits));
      if (isIP(entry)) return entry === host;
      const [, name = "", ofPort = port] = /^(?:\*?\.)?(.+?)(?::(\d+))?$/.exec(entry) ?? [];
      return name !== "" && ofPort === port && (host === name.replace(/^\[(.*)\]$/, "$1") || host.endsWith(`.${name}`));
    });
}

function isInRange(host: string, range: string, bits: number): boolean {
  const family = isIP(range);
  if (!family || family !== isIP(host) || !(bits >= 0 && bits <= (family === 4 ? 32 : 128))) return false;
  const list = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(range, bits, type);
  return list.check(host, type);
}

/** The proxies that the environment names, for requests to the hub, as Python's huggingface_hub uses them. */
import { createRequire } from "node:module";
import { proxyUrl } from "@gradpool/access";

export interface ProxySettings {
  /** URLs of the proxies for addresses of each kind, perhaps with a password. */
  http?: string;
  https?: string;
  /** Hosts that are reached without one, separated by commas. */
  noProxy: string;
}

/**
 * https_proxy, http_proxy, all_proxy and no_proxy, also in capitals; undefined: no proxy. Errors: those of
 * proxyUrl.
 */
export function proxySettings(env: NodeJS.ProcessEnv): ProxySettings | undefined {
  const named = (scheme: "http" | "https") => {
    const name = [`${scheme}_proxy`, "all_proxy"].flatMap((one) => [one, one.toUpperCase()]).find((one) => env[one]);
    return name === undefined ? undefined : proxyUrl(env[name] ?? "", name);
  };
  const [http, https] = [named("http"), named("https")];
  if (http === undefined && https === undefined) return undefined;
  const noProxy = env["no_proxy"] ?? env["NO_PROXY"] ?? "";
  return { ...(http !== undefined && { http }), ...(https !== undefined && { https }), noProxy };
}

/** For people, without a password; empty: none is used for that kind of address. */
export function proxyLabel(proxy: ProxySettings | undefined, address: string): string {
  const url = address.startsWith("https:") ? proxy?.https : proxy?.http;
  return url === undefined ? "" : new URL(url).origin;
}

/** fetch through the proxies; the library for that is loaded only where there are any. */
export function fetchThrough(proxy: ProxySettings | undefined): typeof fetch {
  if (!proxy) return fetch;
  const http = fetchThroughOne(proxy.http, proxy.noProxy);
  const https = fetchThroughOne(proxy.https, proxy.noProxy);
  return (input, init) => {
    const address = input instanceof Request ? input.url : input.toString();
    return (address.startsWith("https:") ? https : http)(input, init);
  };
}

/** What is used of undici, the library that Node's fetch is made of, whose types are those of its own version. */
interface Undici {
  EnvHttpProxyAgent: new (
    options: Record<"httpProxy" | "httpsProxy" | "noProxy", string> & { proxyTunnel: boolean },
  ) => object;
  fetch: (input: unknown, init: object) => Promise<Response>;
}

function fetchThroughOne(uri: string | undefined, noProxy: string): typeof fetch {
  if (uri === undefined) return fetch;
  const undici = createRequire(import.meta.url)("undici") as Undici;
  // Plain http is forwarded, as Python does, since many proxies tunnel to port 443 alone.
  const dispatcher = new undici.EnvHttpProxyAgent({ httpProxy: uri, httpsProxy: uri, noProxy, proxyTunnel: false });
  return (input, init) => undici.fetch(input, { ...init, dispatcher });
}

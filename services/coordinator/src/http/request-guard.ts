/**
 * Who may call. The port has no passwords, so foreign pages must not use a visitor's browser: neither by a name that
 * its owner points at this address (DNS rebinding), nor by a form or script of another site.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { GradpoolError } from "@gradpool/errors";

/** Throws unless the request may be answered. Errors: `permission_denied`, `invalid_argument`. */
export type RequestGuard = (request: IncomingMessage) => void;

/** `hosts`: host names of this server, besides its addresses and localhost. */
export function requestGuard(hosts: readonly string[]): RequestGuard {
  const known = new Set(["localhost", ...hosts.map((host) => host.toLowerCase())]);
  return ({ method, headers }) => {
    const host = headers.host ?? "";
    const name = hostName(host);
    // A page loaded from an address cannot belong to another name.
    if (!known.has(name) && !isIP(name)) {
      throw denied(`unknown host name "${name}"; use an IP address, or add the name to GRADPOOL_HTTP_HOSTS`);
    }
    const { origin } = headers;
    const site = headers["sec-fetch-site"];
    if ((origin !== undefined && !isOrigin(origin, host)) || site === "cross-site" || site === "same-site") {
      throw denied("requests from other sites are refused; open the dashboard itself");
    }
    // A form cannot send this type, and a script of another site may not.
    if (method === "POST" && !/^application\/json *(;|$)/i.test(headers["content-type"] ?? "")) {
      throw new GradpoolError("invalid_argument", "the body must be JSON; send content-type: application/json");
    }
  };
}

const denied = (message: string) => new GradpoolError("permission_denied", message);

const hostName = (host: string): string =>
  host
    .toLowerCase()
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1");

/** An origin of this server. TLS may end in front of it. */
const isOrigin = (origin: string, host: string): boolean => origin === `http://${host}` || origin === `https://${host}`;

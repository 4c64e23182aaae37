/**
 * Who may call, besides the key: the dashboard's cookie must not let a form or script of another site use a visitor's
 * browser, should that browser not know SameSite.
 */
import type { IncomingMessage } from "node:http";
import { GradpoolError } from "@gradpool/errors";

/** Throws unless the request may be answered. Errors: `permission_denied`, `invalid_argument`. */
export function refuseOtherSites({ method, headers }: IncomingMessage): void {
  const { origin, host = "" } = headers;
  const site = headers["sec-fetch-site"];
  if ((origin !== undefined && !isOrigin(origin, host)) || site === "cross-site" || site === "same-site") {
    throw new GradpoolError("permission_denied", "requests from other sites are refused; open the dashboard itself");
  }
  // A form cannot send this type, and a script of another site may not.
  if (method === "POST" && !/^application\/json *(;|$)/i.test(headers["content-type"] ?? "")) {
    throw new GradpoolError("invalid_argument", "the body must be JSON; send content-type: application/json");
  }
}

/** An origin of this server. TLS may end in front of it. */
const isOrigin = (origin: string, host: string): boolean => origin === `http://${host}` || origin === `https://${host}`;

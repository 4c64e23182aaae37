/**
 * Who may ask over HTTP: whoever sends the pool's key, as Prometheus and curl do, or the cookie that a browser gets for
 * it. A browser must not be lent to foreign pages, so a request without the key itself must name the server by an
 * address or a name that is known (DNS rebinding); no page can make a browser send an Authorization header elsewhere.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { hostAndPort, refusalOf, type Certificates, type PoolKey } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";

export interface HttpAccess {
  key: PoolKey;
  /** For ports that other machines can reach; undefined: they are plain HTTP, too. */
  tls?: Certificates | undefined;
  /** Names by which people reach the server, besides its addresses and localhost. */
  hosts: readonly string[];
}

/** The parameter of the link that a person opens once. */
export const KEY_PARAMETER = "key";

export class HttpGuard {
  readonly #key: PoolKey;
  /** Browsers give a cookie to every port of a host: its value is not the key. */
  readonly #cookie: PoolKey;
  readonly #hosts: ReadonlySet<string>;

  constructor({ key, hosts }: HttpAccess) {
    this.#key = key;
    this.#cookie = key.derive("dashboard");
    this.#hosts = new Set(["localhost", ...hosts.map((host) => host.toLowerCase())]);
  }

  /**
   * Returns when the request may be answered; `isOpen`: nobody is asked for the key. A browser that brings the key in
   * its link gets a cookie, and is sent to the link without it: true. Errors: `unauthenticated`, `permission_denied`.
   */
  check(request: IncomingMessage, response: ServerResponse, url: URL, isOpen: boolean): boolean {
    const { authorization, host = "", cookie = "" } = request.headers;
    if (authorization !== undefined && refusalOf(authorization, this.#key) === "") return false;
    this.#checkHost(host);
    const given = url.searchParams.get(KEY_PARAMETER);
    const name = cookieName(request);
    if (given !== null && this.#key.matches(given)) {
      const attributes = `Path=/; HttpOnly; SameSite=Strict${isEncrypted(request) ? "; Secure" : ""}`;
      response.setHeader("set-cookie", `${name}=${this.#cookie.reveal()}; ${attributes}`);
      url.searchParams.delete(KEY_PARAMETER);
      response.writeHead(303, { location: url.pathname + url.search, "referrer-policy": "no-referrer" });
      response.end();
      return true;
    }
    if (isOpen || cookiesOf(cookie).some(([one, value]) => one === name && this.#cookie.matches(value))) return false;
    response.setHeader("www-authenticate", 'Bearer realm="gradpool"');
    const problem = refusalOf(given === null ? authorization : `Bearer ${given}`, this.#key);
    const link = `http${isEncrypted(request) ? "s" : ""}://${host}/?${KEY_PARAMETER}=KEY`;
    throw new GradpoolError("unauthenticated", `${problem}; a browser opens ${link} once`);
  }

  #checkHost(host: string): void {
    const { host: name } = hostAndPort(/:\d+$/.test(host) ? host.toLowerCase() : `${host.toLowerCase()}:80`);
    // No page of another's name can have been loaded from an address.
    if (this.#hosts.has(name) || isIP(name)) return;
    const advice = "use an address, or add it to GRADPOOL_HTTP_HOSTS";
    throw new GradpoolError("permission_denied", `the name "${name}" is not known here; ${advice}`);
  }
}

const isEncrypted = ({ socket }: IncomingMessage) => "encrypted" in socket;

/** Two pools of one machine share their browser's cookies. */
const cookieName = ({ socket }: IncomingMessage) => `gradpool_${socket.localPort}`;

const cookiesOf = (header: string): [name: string, value: string][] =>
  header.split(";").map((pair) => {
    const [name = "", ...value] = pair.trim().split("=");
    return [name, value.join("=")];
  });

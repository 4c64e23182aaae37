/**
 * A small HTTP server for people and monitoring. Clients are limited in connections, header and
 * body bytes, and the time that a request may take to arrive. Handlers may take longer if they choose.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { bindEvery, hostAndPort, isLoopback, type Certificates, type TlsMaterial } from "@gradpool/access";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { HttpGuard, type HttpAccess } from "./http-guard.js";
import { formatAddress, parseListenAddress } from "./listen-address.js";

export interface HttpRoute {
  /** A GET route also answers HEAD, without a body. */
  method: "GET" | "POST";
  /**
   * An exact path such as "/metrics", or one that ends in "/*" and matches all below it. The most specific route
   * answers.
   */
  path: string;
  /** Answered without the pool's key. */
  isOpen?: boolean;
  /** Answers with `response`. A GradpoolError thrown before anything was sent becomes one line of text. */
  handle(request: IncomingMessage, response: ServerResponse, url: URL): void | Promise<void>;
}

export interface HttpServerOptions {
  /** "host:port"; port 0 takes any free one. */
  listen: string;
  routes: readonly HttpRoute[];
  /** Whom it answers. */
  access: HttpAccess;
  /** Called with errors that are the server's own fault. */
  onInternalError: (error: unknown, path: string) => void;
}

export interface RunningHttpServer extends AsyncDisposable {
  /** "host:port" with the real port. */
  address: string;
}

/** A browser keeps six connections to a server, a monitoring system one. */
const MAX_CONNECTIONS = 256;
const MAX_HEADERS = 100;
const MAX_BODY_BYTES = 1024 * 1024;
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  // How long a request's headers, and the whole request, may take to arrive.
  headersTimeout: 5_000,
  requestTimeout: 15_000,
  // How often the two are checked.
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 5_000,
  // How long TLS may take to begin.
  handshakeTimeout: 5_000,
};
/** How long responses may continue after shutdown began. */
const SHUTDOWN_GRACE_MS = 2_000;

const HTTP_STATUS: Record<ErrorCode, number> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  unauthenticated: 401,
  permission_denied: 403,
  failed_precondition: 409,
  resource_exhausted: 429,
  aborted: 409,
  cancelled: 499,
  unavailable: 503,
  deadline_exceeded: 504,
  unimplemented: 501,
  data_loss: 500,
  internal: 500,
};

/** The HTTP status that goes with an error's code. */
export const httpStatusOf = (code: ErrorCode): number => HTTP_STATUS[code];

/** Starts an HTTP server. Errors: `unavailable` when the port is taken. */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const guard = new HttpGuard(options.access);
  const listener = (request: IncomingMessage, response: ServerResponse) =>
    void answer(options, guard, request, response);
  // Browsers do not know the pool's authority, and a connection within this machine needs none.
  const tls = isLoopback(hostAndPort(options.listen).host) ? undefined : options.access.tls;
  const server = tls
    ? createTlsServer({ ...LIMITS, ...identityOf(tls.material) }, listener)
    : createServer(LIMITS, listener);
  server.maxConnections = MAX_CONNECTIONS;
  server.maxHeadersCount = MAX_HEADERS;
  const { bound: port, host } = await bindEvery(options.listen, (listen) => bind(server, listen));
  const renewal = tls && renewed(server as TlsServer, tls);
  return {
    address: formatAddress(host, port),
    async [Symbol.asyncDispose]() {
      renewal?.[Symbol.dispose]();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const force = setTimeout(() => server.closeAllConnections(), SHUTDOWN_GRACE_MS);
      await closed;
      clearTimeout(force);
    },
  };
}

/** No certificate is asked for: browsers, probes and Prometheus show the key. */
const identityOf = ({ cert, key }: TlsMaterial) => ({ cert, key });

/** Gives the server each renewed certificate, until it is disposed. */
function renewed(server: TlsServer, tls: Certificates): Disposable {
  const take = (material: TlsMaterial) => server.setSecureContext(identityOf(material));
  tls.onRenewal(take);
  return { [Symbol.dispose]: () => tls.offRenewal(take) };
}

/** Answers with text of any type, such as JSON. */
export function sendText(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8") {
  const body = Buffer.from(text);
  response.writeHead(status, {
    "content-type": type,
    "content-length": body.byteLength,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(body);
}

/** The whole body of a request. Errors: `invalid_argument` for more than 1 MiB, `cancelled` when the client is gone. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    // Leaving the loop must not destroy the connection: the response is not sent yet.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > MAX_BODY_BYTES) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof GradpoolError) throw error;
    throw new GradpoolError("cancelled", "the client disconnected before its request was complete", { cause: error });
  }
  return Buffer.concat(chunks, sizeBytes);
}

async function answer(
  options: HttpServerOptions,
  guard: HttpGuard,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // A client that disconnects is not our error.
  response.on("error", () => {});
  let path = request.url ?? "";
  try {
    const url = urlOf(request);
    path = url.pathname;
    const found = options.routes.filter((route) => matches(route, path));
    const isOpen = found.some((route) => route.isOpen);
    if (guard.check(request, response, url, isOpen)) return;
    if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
    const method = request.method === "HEAD" ? "GET" : request.method;
    const route = mostExact(found.filter((candidate) => candidate.method === method));
    if (route) return await route.handle(request, response, url);
    if (found.length === 0) return refuse(response, 404, `there is nothing at ${path}`);
    const allowed = [...new Set(found.flatMap((other) => (other.method === "GET" ? ["GET", "HEAD"] : ["POST"])))];
    response.setHeader("allow", allowed.join(", "));
    refuse(response, 405, `${path} takes ${allowed.join(" and ")}`);
  } catch (reason) {
    // The rest of an unread body must not block the next request.
    if (!request.complete) response.shouldKeepAlive = false;
    fail(options, response, path, reason);
  }
}

function fail({ onInternalError }: HttpServerOptions, response: ServerResponse, path: string, reason: unknown): void {
  const error = GradpoolError.from(reason);
  if (error.code === "internal") onInternalError(reason, path);
  if (response.headersSent) return void response.destroy();
  const internal = "internal error; the service's log has the details";
  refuse(response, httpStatusOf(error.code), error.code === "internal" ? internal : error.message);
}

/** One line of text, whatever the request was. */
function refuse(response: ServerResponse, status: number, line: string): void {
  sendText(response, status, `${line}\n`);
}

function urlOf(request: IncomingMessage): URL {
  try {
    // The host is the client's claim: only the path selects a route.
    return new URL(request.url ?? "", "http://localhost");
  } catch {
    throw new GradpoolError("invalid_argument", "the request's path is invalid; send one such as /metrics");
  }
}

function matches(route: HttpRoute, path: string): boolean {
  return route.path.endsWith("/*") ? path.startsWith(route.path.slice(0, -1)) : path === route.path;
}

/** An exact path before one that ends in "/*", and of those the longest. */
function mostExact(routes: HttpRoute[]): HttpRoute | undefined {
  const rank = ({ path }: HttpRoute) => (path.endsWith("/*") ? path.length : Infinity);
  return routes.sort((a, b) => rank(b) - rank(a))[0];
}

const tooLarge = () =>
  new GradpoolError("invalid_argument", `the request has more than ${MAX_BODY_BYTES} bytes; send a smaller one`);

function bind(server: Server, listen: string): Promise<number> {
  const { host, port } = parseListenAddress(listen) ?? {};
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const message = `cannot listen for HTTP on ${listen}: ${reasonOf(error)}; choose another port, or stop the process that uses it`;
      reject(new GradpoolError("unavailable", message, { cause: error }));
    };
    if (host === undefined || port === undefined) {
      return failed(new Error("it is not HOST:PORT with a port of at most 65535"));
    }
    server.once("error", failed);
    server.listen(port, host, () => {
      server.off("error", failed);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === "EADDRINUSE") return "the port is taken";
  if (error.code === "EACCES") return "this user may not use the port";
  return error.message;
}

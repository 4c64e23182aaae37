/** What the coordinator's HTTP port serves besides the process's own pages: the dashboard and its API. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CONTENT_SECURITY_POLICY, DASHBOARD_PATHS, dashboardFile } from "@gradpool/dashboard";
import { GradpoolError } from "@gradpool/errors";
import { Metadata } from "@gradpool/rpc";
import { httpStatusOf, readBody, sendText, type HttpRoute } from "@gradpool/service-kit";
import { apiCalls, decoded, findCall, type ApiCall, type ApiHandlers } from "./api-calls.js";
import { refuseOtherSites } from "./request-guard.js";
import { WatchStreams } from "./watch-stream.js";

export interface DashboardOptions {
  handlers: ApiHandlers;
  /** Called with errors that are the server's own fault. */
  onInternalError: (error: unknown, path: string) => void;
}

const JSON_TYPE = "application/json; charset=utf-8";
const EVENTS = /^\/api\/runs\/([^/]+)\/events$/;

export function dashboardRoutes({ handlers, onInternalError }: DashboardOptions): HttpRoute[] {
  const calls = apiCalls(handlers);
  const streams = new WatchStreams(handlers.runs);

  const answer: HttpRoute["handle"] = async (request, response, url) => {
    secure(response);
    try {
      refuseOtherSites(request);
      const watched = request.method === "GET" ? EVENTS.exec(url.pathname) : null;
      if (watched) await streams.stream(decoded(watched[1] ?? ""), request, response, url);
      else await answerCall(calls, request, response, url);
    } catch (reason) {
      refuse(response, reason, (error) => onInternalError(error, url.pathname));
    }
  };
  const page: HttpRoute["handle"] = async (request, response, url) => {
    secure(response);
    refuseOtherSites(request);
    await sendPage(request, response, url.pathname);
  };
  return [
    ...DASHBOARD_PATHS.map((path) => ({ method: "GET" as const, path, handle: page })),
    { method: "GET", path: "/api/*", handle: answer },
    { method: "POST", path: "/api/*", handle: answer },
  ];
}

/** Headers that keep a browser from using the answer for anything else. */
function secure(response: ServerResponse): void {
  response.setHeader("content-security-policy", CONTENT_SECURITY_POLICY);
  response.setHeader("cross-origin-opener-policy", "same-origin");
  response.setHeader("cross-origin-resource-policy", "same-origin");
  response.setHeader("referrer-policy", "no-referrer");
  response.setHeader("x-content-type-options", "nosniff");
}

async function answerCall(calls: readonly ApiCall[], request: IncomingMessage, response: ServerResponse, url: URL) {
  const { pathname: path, searchParams: query } = url;
  const method = request.method === "HEAD" ? "GET" : (request.method ?? "");
  const found = findCall(calls, method, path);
  if (!found)
    throw new GradpoolError("not_found", `there is nothing at ${method} ${path}; docs/dashboard.md lists the API`);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const body = method === "POST" ? objectOf(await readBody(request)) : {};
  const result = await found.call.call(
    { id: found.id, body, query },
    { signal: gone.signal, metadata: new Metadata() },
  );
  sendText(response, 200, JSON.stringify(result), JSON_TYPE);
}

/** Errors: `invalid_argument`. */
function objectOf(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // As below.
  }
  throw new GradpoolError("invalid_argument", `the body must be a JSON object, such as {"requestId": "a UUID"}`);
}

/** As {code, message}; internals stay in the log. */
function refuse(response: ServerResponse, reason: unknown, onInternal: (error: unknown) => void): void {
  const { code, message } = GradpoolError.from(reason);
  if (code === "internal") onInternal(reason);
  if (response.headersSent) return void response.destroy();
  const shown = code === "internal" ? "internal error; the service's log has the details" : message;
  sendText(response, httpStatusOf(code), JSON.stringify({ code, message: shown }), JSON_TYPE);
}

async function sendPage(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const { type, content, etag } = await dashboardFile(path);
  const isKnown = request.headers["if-none-match"] === etag;
  // Revalidated each time: a new version of the coordinator brings a new dashboard.
  response.writeHead(isKnown ? 304 : 200, {
    ...{ etag, "cache-control": "no-cache" },
    ...(isKnown ? {} : { "content-type": type, "content-length": content.byteLength }),
  });
  response.end(isKnown ? undefined : content);
}

/**
 * A local server that implements the hub's HTTP API for folders of a test: revisions, listings page by page, files with
 * ranges, and those in LFS from a second server, as the real one redirects to its storage. Faults can be switched on.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Faults, type Fault } from "./fake-hub-faults.js";
import { FakeRepo, type FakeFile, type FakeRepoOptions } from "./fake-hub-repo.js";

export interface FakeRequest {
  at: "hub" | "storage";
  method: string;
  /** Path and query. */
  url: string;
  range: string | undefined;
  authorization: string | undefined;
}

export interface FakeHubOptions {
  /** The only valid token, which may read everything. */
  token?: string;
  /** Files per page of a listing. */
  pageFiles?: number;
}

export class FakeHub implements AsyncDisposable {
  /** Every request so far, in order. */
  readonly requests: FakeRequest[] = [];
  readonly #repos = new Map<string, FakeRepo>();
  readonly #faults = new Faults();
  readonly #token: string | undefined;
  readonly #pageFiles: number;
  readonly #hub: Server;
  readonly #storage: Server;

  private constructor({ token, pageFiles = 1000 }: FakeHubOptions) {
    this.#token = token;
    this.#pageFiles = pageFiles;
    this.#hub = createServer((request, response) => void this.#serve("hub", request, response));
    this.#storage = createServer((request, response) => void this.#serve("storage", request, response));
  }

  static async start(options: FakeHubOptions = {}): Promise<FakeHub> {
    const hub = new FakeHub(options);
    for (const server of [hub.#hub, hub.#storage]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return hub;
  }

  /** For HF_ENDPOINT. */
  get endpoint(): string {
    return addressOf(this.#hub);
  }

  /** A new repository, empty until something is committed to it. */
  create(type: "model" | "dataset", id: string, options?: FakeRepoOptions): FakeRepo {
    const repo = new FakeRepo(options);
    this.#repos.set(`${type}s/${id}`, repo);
    return repo;
  }

  inject(fault: Fault): void {
    this.#faults.add(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Requests for a file's content, whether answered or not. */
  contentRequests(path: string): FakeRequest[] {
    return this.requests.filter(({ at, method, url }) => {
      const isContent = at === "storage" || url.includes("/resolve/");
      return method === "GET" && isContent && url.split("?")[0]!.endsWith(`/${path}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    }
  }

  async #serve(at: "hub" | "storage", request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/", headers } = request;
    this.requests.push({ at, method, url, range: headers.range, authorization: headers.authorization });
    const fault = this.#faults.meet(at, url, "status", "silence");
    if (fault?.kind === "silence") return;
    if (fault?.kind === "status") return refuse(response, fault.status, fault.headers);
    try {
      if (at === "storage") await this.#serveStored(request, response);
      else await this.#serveHub(request, response);
    } catch {
      // The client left, or the fault is a broken connection.
      response.destroy();
    }
  }

  async #serveHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.endpoint);
    const route =
      /^\/api\/(?<type>models|datasets)\/(?<id>[^/]+(?:\/[^/]+)?)\/(?<what>revision|tree)\/(?<revision>[^/]+)$/.exec(
        url.pathname,
      ) ??
      /^\/(?<type>datasets\/)?(?<id>[^/]+(?:\/[^/]+)?)\/(?<what>resolve)\/(?<revision>[^/]+)\/(?<path>.+)$/.exec(
        url.pathname,
      );
    const { type = "models", id = "", what, revision = "", path = "" } = route?.groups ?? {};
    const repo = this.#repos.get(`${type.replace("/", "")}/${id}`);
    if (!this.#mayPass(repo, what === "resolve", request, response) || !repo) return;
    const commit = repo.commitOf(decodeURIComponent(revision));
    if (commit === undefined) return refuse(response, 404, { "x-error-code": "RevisionNotFound" });
    if (what === "revision") return sendJson(response, { id, sha: commit, siblings: siblingsOf(repo, commit) });
    if (what === "tree") return this.#sendTree(url, repo.filesAt(commit), response);
    const file = repo.file(commit, decodeURIComponent(path));
    if (!file) return refuse(response, 404, { "x-error-code": "EntryNotFound" });
    await this.#sendFile(request, response, file, commit, `${type.replace("/", "")}/${id}`);
  }

  /** Answers for requests without access. */
  #mayPass(
    repo: FakeRepo | undefined,
    toFiles: boolean,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): boolean {
    const given = headers.authorization?.replace("Bearer ", "");
    if (given !== undefined && given !== this.#token) {
      refuse(response, 401, { "x-error-message": "Invalid credentials in Authorization header" });
      return false;
    }
    const knows = given !== undefined;
    if (!repo || (repo.access === "private" && !knows)) {
      refuse(response, knows ? 404 : 401, { "x-error-code": "RepoNotFound" });
      return false;
    }
    if (repo.access === "gated" && toFiles && !knows) {
      refuse(response, 401, { "x-error-code": "GatedRepo" });
      return false;
    }
    return true;
  }

  #sendTree(url: URL, files: FakeFile[], response: ServerResponse): void {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const next = from + this.#pageFiles;
    if (next < files.length) {
      url.searchParams.set("cursor", String(next));
      response.setHeader("link", `<${url.href}>; rel="next"`);
    }
    const entries = files.slice(from, next).map(({ path, sizeBytes: size, etag, blobId, isLfs }) => ({
      type: "file",
      path,
      size,
      oid: blobId,
      ...(isLfs ? { lfs: { oid: etag, size, pointerSize: 134 } } : {}),
    }));
    const folders = from === 0 ? [{ type: "directory", path: "folder", oid: "0".repeat(40), size: 0 }] : [];
    sendJson(response, [...folders, ...entries]);
  }

  async #sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    file: FakeFile,
    commit: string,
    repo: string,
  ): Promise<void> {
    const etag = `"${this.#faults.meet("hub", request.url ?? "", "etag")?.etag ?? file.etag}"`;
    response.setHeader("x-repo-commit", commit);
    if (!file.isLfs) {
      response.setHeader("etag", etag);
      return this.#sendBytes("hub", request, response, file);
    }
    response.setHeader("x-linked-etag", etag);
    response.setHeader("x-linked-size", file.sizeBytes);
    const query = `?signature=secret&repo=${encodeURIComponent(repo)}&commit=${commit}`;
    response.setHeader("location", `${addressOf(this.#storage)}/${file.etag}/${file.path}${query}`);
    response.writeHead(302).end();
  }

  async #serveStored(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://storage");
    const repo = this.#repos.get(url.searchParams.get("repo") ?? "");
    const path = decodeURIComponent(url.pathname.split("/").slice(2).join("/"));
    const file = repo?.file(url.searchParams.get("commit") ?? "", path);
    // Storage uses signatures, and refuses a token in addition to one.
    if (!file || request.headers.authorization !== undefined) return refuse(response, 400);
    response.setHeader("etag", '"named-by-storage"');
    await this.#sendBytes("storage", request, response, file);
  }

  async #sendBytes(
    at: "hub" | "storage",
    request: IncomingMessage,
    response: ServerResponse,
    file: FakeFile,
  ): Promise<void> {
    const url = request.url ?? "";
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const isPart = from !== undefined && !this.#faults.meet(at, url, "no-range");
    const start = isPart ? Number(from) : 0;
    const end = Math.min(isPart && to ? Number(to) + 1 : file.sizeBytes, file.sizeBytes);
    if (isPart && start >= file.sizeBytes) return refuse(response, 416);
    if (isPart) response.setHeader("content-range", `bytes ${start}-${end - 1}/${file.sizeBytes}`);
    response.setHeader("accept-ranges", "bytes");
    const isHead = request.method === "HEAD";
    const fault = isHead ? undefined : this.#faults.meet(at, url, "cut", "hold", "truncate", "damage", "drip");
    const length = fault?.kind === "truncate" ? Math.min(fault.afterBytes, end - start) : end - start;
    response.writeHead(isPart ? 206 : 200, { "content-length": length });
    if (isHead || length === 0) {
      response.end();
      return;
    }
    await send(response, file, start, start + length, fault);
  }
}

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen");
  return `http://127.0.0.1:${address.port}`;
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, "content-type": "text/plain" }).end("refused\n");
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

const siblingsOf = (repo: FakeRepo, commit: string) =>
  repo.filesAt(commit).map(({ path: rfilename }) => ({ rfilename }));

async function send(
  response: ServerResponse,
  file: FakeFile,
  start: number,
  end: number,
  fault: Fault | undefined,
): Promise<void> {
  const breakAt = fault?.kind === "cut" || fault?.kind === "hold" ? start + fault.afterBytes : Infinity;
  let position = start;
  for await (const chunk of file.read(start, end)) {
    const data = Buffer.from(chunk);
    if (fault?.kind === "damage" && fault.atByte >= position && fault.atByte < position + data.byteLength) {
      data[fault.atByte - position]! ^= 0xff;
    }
    if (position <= breakAt && position + data.byteLength > breakAt) {
      await write(response, data.subarray(0, breakAt - position));
      if (fault?.kind === "cut") {
        await fault.when;
        throw new Error("cut");
      }
      if (fault?.kind === "hold") await fault.until;
      await write(response, data.subarray(breakAt - position));
    } else if (fault?.kind === "drip") {
      await drip(response, data, fault);
    } else {
      await write(response, data);
    }
    position += data.byteLength;
  }
  response.end();
}

async function drip(response: ServerResponse, data: Buffer, rate: { bytes: number; everyMs: number }): Promise<void> {
  for (let at = 0; at < data.byteLength && !response.destroyed; at += rate.bytes) {
    await write(response, data.subarray(at, at + rate.bytes));
    await sleep(rate.everyMs);
  }
}

/** Resolves when the system has accepted the data; rejects if the client is gone. */
function write(response: ServerResponse, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error("the client left"));
    if (response.destroyed) return gone();
    response.once("close", gone);
    response.write(data, (error) => {
      response.off("close", gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

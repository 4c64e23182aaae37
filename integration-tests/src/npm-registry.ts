/** An npm registry on this machine with the packages of this checkout's node_modules, as tarballs: what a cache would hold, and nothing else. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const MODULES = fileURLToPath(new URL("../../../node_modules/", import.meta.url));
/** Larger packages are never requested. */
const MAX_TARBALL_BYTES = 64 << 20;

export class NpmRegistry implements AsyncDisposable {
  /** Packages whose tarballs were fetched. */
  readonly fetched = new Set<string>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<NpmRegistry> {
    const server = createServer();
    const registry = new NpmRegistry(server);
    server.on("request", (request, response) => {
      registry.#answer(request, response).catch(() => response.writeHead(500).end());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async #answer({ url = "/" }: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(url).slice(1);
    const name = path.replace(/\.tgz$/, "");
    const folder = join(MODULES, name);
    if (!/^(@[\w.-]+\/)?[\w-][\w.-]*$/.test(name) || !existsSync(folder)) {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
    } else if (path.endsWith(".tgz")) {
      this.fetched.add(name);
      // npm takes off the first folder of each path, whatever it is called.
      const pack = ["-c", "-z", "-f", "-", "-C", dirname(folder), basename(folder)];
      const { stdout } = await promisify(execFile)("tar", pack, { encoding: "buffer", maxBuffer: MAX_TARBALL_BYTES });
      response.end(stdout);
    } else {
      const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version: string };
      const { version } = manifest;
      const versions = { [version]: { ...manifest, dist: { tarball: `${this.url}${name}.tgz` } } };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions }));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

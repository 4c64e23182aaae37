/** An HTTP proxy, as companies have them: it tunnels with CONNECT, forwards plain http, and writes down what for. */
import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";

interface ProxyOptions {
  answers?: boolean;
  hosts?: Record<string, string>;
  refuses?: string;
}

export class ProxyServer implements AsyncDisposable {
  /** "CONNECT host:port", or "GET http://…". */
  readonly requests: string[] = [];
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => this.#sockets.add(socket));
  }

  /**
   * `answers`: false for one that takes connections and is never heard of again. `hosts`: addresses of names that it alone
   * knows. `refuses`: a status for all that is asked.
   */
  static async start({ answers = true, hosts = {}, refuses = "" }: ProxyOptions = {}): Promise<ProxyServer> {
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    const proxy = new ProxyServer(server);
    server.on("connect", (asked: IncomingMessage, socket: Duplex, head: Buffer) => {
      proxy.#note(asked);
      if (refuses !== "") socket.end(`HTTP/1.1 ${refuses}\r\n\r\n`);
      else if (answers) proxy.#tunnel(asked, socket, head, hosts);
    });
    server.on("request", (asked: IncomingMessage, response: ServerResponse) => {
      proxy.#note(asked);
      if (answers) forward(asked, response);
    });
    return proxy;
  }

  /** Ends all connections; new ones are taken. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server.close(), "close");
    this.drop();
    await closed;
  }

  #note({ method = "", url = "" }: IncomingMessage): void {
    this.requests.push(`${method} ${url}`);
  }

  #tunnel({ url = "" }: IncomingMessage, socket: Duplex, head: Buffer, hosts: Record<string, string>): void {
    const [host = "", port] = url.split(":");
    const target: Socket = connect(Number(port), hosts[host] ?? host, () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      target.write(head);
      target.pipe(socket).pipe(target);
    });
    this.#sockets.add(target);
    target.on("error", () => socket.destroy());
    socket.on("error", () => target.destroy());
  }
}

function forward({ url = "", method, headers }: IncomingMessage, response: ServerResponse): void {
  const onward = request(url, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  onward.end();
}

/** A TCP proxy on 127.0.0.1, whose network can be cut and slowed down: what is sent while it is cut arrives afterwards, as TCP repeats it. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  /** Where connections go on 127.0.0.1. */
  targetPort: number;
  /** How long everything that is sent, in either direction, takes in milliseconds. */
  delayMs = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connected: Promise<void> = Promise.resolve();
  #heal = () => {};

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.targetPort = targetPort;
    server.on("connection", (client) => this.#serve(client));
  }

  static async start(targetPort = 0): Promise<TcpProxy> {
    const server = createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    return new TcpProxy(server, targetPort);
  }

  /** Nothing passes, and nobody is told, until `heal`. */
  cut(): void {
    this.#heal();
    this.#connected = new Promise((resolve) => (this.#heal = resolve));
  }

  heal(): void {
    this.#heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, "close");
  }

  #serve(client: Socket): void {
    const server = connect(this.targetPort, "127.0.0.1");
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      let last: Promise<void> = Promise.resolve();
      const later = (act: () => void) => {
        const dueMs = performance.now() + this.delayMs;
        last = last.then(async () => {
          await this.#connected;
          const waitMs = dueMs - performance.now();
          if (waitMs > 0) await delay(waitMs);
          act();
        });
      };
      from.on("data", (data) => later(() => void to.write(data)));
      from.on("end", () => later(() => to.end()));
      from.on("close", () => {
        this.#sockets.delete(from);
        later(() => to.destroy());
      });
      // Followed by "close".
      from.on("error", () => {});
    }
  }
}

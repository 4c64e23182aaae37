/** The connections of a server: how many there are, and which of them have shown the key. */
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { hostAndPort } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import type { ServerLimits } from "./server-limits.js";

/** One that has not made a call with the key. */
interface Unproven {
  socket: Socket;
  /** Ends it when it makes no call at all. */
  firstCall: NodeJS.Timeout;
}

type Limits = Pick<ServerLimits, "maxConnections" | "maxUnproven" | "firstCallMs">;

export class Connections implements Disposable {
  readonly #server: Server;
  readonly #limits: Limits;
  /** By peer, as grpc-js names it; the oldest first. */
  readonly #unproven = new Map<string, Unproven>();

  /** `accept` is called with each connection. */
  constructor(limits: Limits, accept: (socket: Socket) => void) {
    this.#limits = limits;
    this.#server = createServer((socket) => {
      this.#add(socket);
      accept(socket);
    });
    this.#server.maxConnections = limits.maxConnections;
  }

  /** Listens on "host:port"; returns the real port. Errors: `unavailable`. */
  async listen(address: string): Promise<number> {
    const { host, port } = hostAndPort(address);
    try {
      this.#server.listen({ host, port: Number(port) });
      await once(this.#server, "listening");
    } catch (error) {
      const message = `cannot listen on ${address}: ${reasonOf(error as Error)}; choose another port, or stop the process that uses it`;
      throw new GradpoolError("unavailable", message, { cause: error });
    }
    // Without a file descriptor a connection is lost, not the server.
    this.#server.on("error", () => {});
    return (this.#server.address() as AddressInfo).port;
  }

  /** A call of the peer began, with or without the key. */
  called(peer: string): void {
    clearTimeout(this.#unproven.get(peer)?.firstCall);
  }

  /** A call of the peer had the key. */
  proved(peer: string): void {
    clearTimeout(this.#unproven.get(peer)?.firstCall);
    this.#unproven.delete(peer);
  }

  /** No other is accepted. */
  close(): void {
    this.#server.close();
  }

  /** Ends those that proved nothing. */
  [Symbol.dispose](): void {
    this.close();
    for (const { socket } of this.#unproven.values()) socket.destroy();
  }

  #add(socket: Socket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const firstCall = setTimeout(() => socket.destroy(), this.#limits.firstCallMs);
    this.#unproven.set(peer, { socket, firstCall });
    socket.once("close", () => {
      if (this.#unproven.get(peer)?.socket === socket) this.proved(peer);
    });
    if (this.#unproven.size <= this.#limits.maxUnproven) return;
    const [oldest] = this.#unproven.values();
    oldest?.socket.destroy();
  }
}

function reasonOf(error: Error): string {
  if (/EADDRINUSE/.test(error.message)) return "the port is taken";
  if (/EACCES/.test(error.message)) return "this user may not use the port";
  return error.message;
}

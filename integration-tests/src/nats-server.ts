/** A real nats-server with the configuration of deploy/ or a test's own, to stop, kill and wipe. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type ConnectionOptions, type NatsConnection } from "@nats-io/transport-node";
import { Event } from "@gradpool/rpc";
import { STREAM } from "@gradpool/events";
import { ROOT } from "./structure.js";
import { deployTool, freePorts, killServer } from "./tools.js";

const CONFIGURATION = join(ROOT, "deploy/nats.conf");

export interface StoredEvent {
  event: Event;
  subject: string;
  messageId: string;
  traceparent: string;
}

export class NatsServer implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #ports: [number, number];
  readonly #flags: readonly string[];
  #configuration = CONFIGURATION;
  #child: ChildProcess | undefined;

  private constructor(folder: string, ports: [number, number], flags: readonly string[]) {
    this.#folder = folder;
    this.#ports = ports;
    this.#flags = flags;
    this.url = `nats://127.0.0.1:${ports[0]}`;
  }

  /**
   * With a configuration of its own instead of that in deploy/. Every port on which it listens but the two of
   * `start` is the caller's choice.
   */
  static async startWith(folder: string, configuration: string): Promise<NatsServer> {
    const server = new NatsServer(folder, (await freePorts(2)) as [number, number], []);
    await server.start(configuration);
    return server;
  }

  /** `folder`: where it keeps its data; `flags`: additional flags, such as --user. */
  static async start(folder: string, flags: readonly string[] = []): Promise<NatsServer> {
    const server = new NatsServer(folder, (await freePorts(2)) as [number, number], flags);
    await server.start();
    return server;
  }

  /** `configuration`: from now on instead of the current one. */
  async start(configuration?: string): Promise<void> {
    const { path } = await deployTool("nats-server");
    const [port, httpPort] = this.#ports;
    if (configuration !== undefined) {
      await mkdir(this.#folder, { recursive: true });
      this.#configuration = join(this.#folder, "server.conf");
      await writeFile(this.#configuration, configuration);
    }
    const where = ["-a", "127.0.0.1", "-p", String(port), "-m", String(httpPort), "-sd", this.#folder];
    const child = spawn(path, ["-c", this.#configuration, ...where, ...this.#flags], { stdio: "ignore" });
    this.#child = child;
    while (!(await this.#isHealthy(httpPort))) {
      if (child.exitCode !== null) throw new Error(`nats-server ended with exit code ${child.exitCode}`);
      await delay(50);
    }
  }

  /** Suspended, with its connections open. */
  suspend(): void {
    this.#child?.kill("SIGSTOP");
  }

  /** Connections so far, those that were refused included. */
  async connections(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#ports[1]}/varz`);
    return ((await response.json()) as { total_connections: number }).total_connections;
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    await killServer(this.#child);
  }

  /** Removes all its data; for a server that was killed. */
  async wipe(): Promise<void> {
    await rm(join(this.#folder, "jetstream"), { recursive: true, force: true });
  }

  /** All events in the stream, oldest first. */
  async events(as: ConnectionOptions = {}): Promise<StoredEvent[]> {
    const connection = await connect({ servers: this.url, ...as });
    try {
      return await storedIn(connection);
    } finally {
      await connection.close();
    }
  }

  /** Like `events`, once one of them is as wanted. */
  async eventsWith(isWanted: (stored: StoredEvent) => boolean, as: ConnectionOptions = {}): Promise<StoredEvent[]> {
    for (;;) {
      const events = await this.events(as).catch(() => []);
      if (events.some(isWanted)) return events;
      await delay(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #isHealthy(port: number): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    return response?.ok === true;
  }
}

async function storedIn(connection: NatsConnection): Promise<StoredEvent[]> {
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info(STREAM);
  if (state.messages === 0) return [];
  const consumer = await jetstream(connection).consumers.get(STREAM, { deliver_policy: DeliverPolicy.All });
  const stored: StoredEvent[] = [];
  for await (const message of await consumer.consume()) {
    const header = (name: string) => message.headers?.get(name) ?? "";
    const { subject, data, seq } = message;
    stored.push({
      ...{ event: Event.decode(data), subject },
      ...{ messageId: header("Nats-Msg-Id"), traceparent: header("traceparent") },
    });
    if (seq >= state.last_seq) break;
  }
  return stored;
}

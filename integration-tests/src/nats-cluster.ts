/** A real cluster of three nats-servers, any of which can be killed and started again. */
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { STREAM } from "@gradpool/events";
import { NatsServer } from "./nats-server.js";
import { freePorts } from "./tools.js";

const SERVERS = 3;

export class NatsCluster implements AsyncDisposable {
  private constructor(readonly servers: readonly NatsServer[]) {}

  static async start(folder: string): Promise<NatsCluster> {
    const ports = await freePorts(SERVERS);
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(", ");
    // None is healthy before the others are there.
    const servers = await Promise.all(
      ports.map((port, i) =>
        NatsServer.startWith(
          join(folder, nameOf(i)),
          `server_name: ${nameOf(i)}
           cluster { name: pool, listen: "127.0.0.1:${port}", routes: [${routes}] }
           jetstream { max_file_store: 2GB, sync_interval: always }`,
        ),
      ),
    );
    return new NatsCluster(servers);
  }

  /** As in NATS_URL. */
  get url(): string {
    return this.servers.map(({ url }) => url).join(",");
  }

  /** The stream's replicas, and which of the servers leads them. */
  async stream(): Promise<{ replicas: number; leader: NatsServer }> {
    const connection = await connect({ servers: this.servers.map(({ url }) => url) });
    try {
      const { config, cluster } = await (await jetstreamManager(connection)).streams.info(STREAM);
      const leader = this.servers.find((_, i) => nameOf(i) === cluster?.leader);
      if (!leader) throw new Error("the stream has no leader");
      return { replicas: config.num_replicas, leader };
    } finally {
      await connection.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

const nameOf = (i: number) => `nats-${i}`;

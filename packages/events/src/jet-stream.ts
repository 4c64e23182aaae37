/**
 * The one file that knows NATS: a connection that publishes events to the stream, in the order of the calls. It
 * lasts until its first failure; then the caller makes a new one. The library is loaded when needed.
 */
import { readFile } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";
import { Event } from "@gradpool/rpc";
import type { JetStreamClient, JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { Authenticator, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { subjectOf } from "./event-types.js";
import type { NatsOptions } from "./nats-options.js";
import { STREAM, STREAM_CONFIG } from "./stream.js";

/** How long NATS may take to connect, and to acknowledge. */
const ANSWER_MS = 5_000;

const STREAM_NOT_FOUND = 10_059;

interface Parts {
  connection: NatsConnection;
  client: JetStreamClient;
  manager: JetStreamManager;
  headers: () => MsgHdrs;
  info: StreamInfo;
}

export class JetStream implements AsyncDisposable {
  /** When the stream was created: it identifies the stream. */
  readonly streamCreated: string;
  /** Rejects when the connection ends. */
  readonly closed: Promise<never>;
  readonly #connection: NatsConnection;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #headers: Parts["headers"];
  #lastSequence = 0;

  private constructor({ connection, client, manager, headers, info }: Parts) {
    this.#connection = connection;
    this.#client = client;
    this.#manager = manager;
    this.#headers = headers;
    this.streamCreated = info.created;
    this.closed = connection.closed().then((reason) => {
      throw unavailable(reason ?? "the connection was closed");
    });
    // Reported to those who wait for it.
    this.closed.catch(() => {});
  }

  /**
   * Connects, and creates the stream if there is none. Errors: `unavailable` for any reason: NATS is
   * down, refuses, or has another stream on our subjects.
   */
  static async connect(options: NatsOptions): Promise<JetStream> {
    const transport = await import("@nats-io/transport-node");
    const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
    let connection: NatsConnection | undefined;
    try {
      const { servers, tls, user, password, token, credsFile } = options;
      const authenticators: Authenticator[] = [
        ...(user === undefined ? [] : [transport.usernamePasswordAuthenticator(user, password)]),
        ...(token === undefined ? [] : [transport.tokenAuthenticator(token)]),
        ...(credsFile === undefined ? [] : [transport.credsAuthenticator(await readFile(credsFile))]),
      ];
      connection = await transport.connect({
        ...{ servers, name: "gradpool-coordinator", reconnect: false, timeout: ANSWER_MS },
        ...(tls && { tls: {} }),
        ...(authenticators.length > 0 && { authenticator: authenticators }),
      });
      const manager = await jetstreamManager(connection, { timeout: ANSWER_MS });
      const client = jetstream(connection, { timeout: ANSWER_MS });
      const info = await streamInfo(manager);
      return new JetStream({ connection, client, manager, headers: transport.headers, info });
    } catch (cause) {
      await connection?.close();
      throw unavailable(cause);
    }
  }

  /** Resolves when NATS has stored the event, now or before. Errors: `unavailable`. */
  async publish(event: Event): Promise<void> {
    const headers = this.#headers();
    if (event.traceparent) headers.set("traceparent", event.traceparent);
    try {
      const ack = await this.#client.publish(subjectOf(event), Event.encode(event).finish(), {
        ...{ msgID: event.eventId, headers, timeout: ANSWER_MS, retries: 0, expect: { streamName: STREAM } },
      });
      if (ack.duplicate) return;
      if (ack.seq <= this.#lastSequence) throw new Error(`the stream ${STREAM} was recreated`);
      this.#lastSequence = ack.seq;
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  /**
   * Id of the newest event in the stream on the subject of `event`; undefined: there is none. Errors: `unavailable`.
   */
  async newestLike(event: Event): Promise<string | undefined> {
    try {
      const found = await this.#manager.streams.getMessage(STREAM, { last_by_subj: subjectOf(event) });
      return found?.header.get("Nats-Msg-Id");
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}

async function streamInfo({ streams }: JetStreamManager): Promise<StreamInfo> {
  try {
    return await streams.info(STREAM);
  } catch (error) {
    if (!isStreamMissing(error)) throw error;
    return streams.add(STREAM_CONFIG);
  }
}

const isStreamMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === STREAM_NOT_FOUND;

function unavailable(cause: unknown): GradpoolError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GradpoolError("unavailable", `cannot publish events to NATS: ${reason}; they wait until it works again`, {
    cause,
  });
}

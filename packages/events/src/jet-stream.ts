/**
 * The one file that knows NATS: a connection that publishes events to the stream, in the order of the calls. It
 * lasts until its first failure; then the caller makes a new one. The library is loaded when needed.
 */
import { readFile } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";
import { Event } from "@gradpool/rpc";
import type { JetStreamClient, JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { Authenticator, MsgHdrs, NatsConnection, TlsOptions } from "@nats-io/transport-node";
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
   * down, refuses, has another stream on our subjects, or one that forgets events once they are read.
   */
  static async connect(options: NatsOptions): Promise<JetStream> {
    const transport = (await import("@nats-io/transport-node")).default;
    const { jetstream, jetstreamManager } = (await import("@nats-io/jetstream")).default;
    let connection: NatsConnection | undefined;
    try {
      const { servers, user, password, token, credsFile, nkeyFile, domain } = options;
      const authenticators: Authenticator[] = [
        ...(user === undefined ? [] : [transport.usernamePasswordAuthenticator(user, password)]),
        ...(token === undefined ? [] : [transport.tokenAuthenticator(token)]),
        ...(credsFile === undefined ? [] : [transport.credsAuthenticator(await readFile(credsFile))]),
        ...(nkeyFile === undefined ? [] : [transport.nkeyAuthenticator(await seedIn(nkeyFile))]),
      ];
      connection = await transport.connect({
        ...{ servers, name: "gradpool-coordinator", reconnect: false, timeout: ANSWER_MS },
        ...(options.tls && { tls: tlsOptionsOf(options) }),
        ...(authenticators.length > 0 && { authenticator: authenticators }),
      });
      const settings = { timeout: ANSWER_MS, ...(domain !== undefined && { domain }) };
      const manager = await jetstreamManager(connection, settings);
      const client = jetstream(connection, settings);
      const info = await streamInfo(manager);
      const { retention } = info.config;
      // What arrived could not be told from what did not, and would be published twice.
      if (retention !== "limits") throw new Error(retentionProblem(retention));
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

const retentionProblem = (retention: string): string =>
  `the stream ${STREAM} has ${retention} retention, which removes events once they are read; ` +
  `create it with limits retention, and a work queue that has it as its source`;

function tlsOptionsOf({ caFile, certFile, keyFile, tlsFirst }: NatsOptions): TlsOptions {
  return {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
    ...(tlsFirst && { handshakeFirst: true }),
  };
}

/** A user's seed in a file, which may hold comments, too. Its content is never part of an error. */
async function seedIn(path: string): Promise<Uint8Array> {
  const [seed] = /\bSU[A-Z2-7]{56}\b/.exec(await readFile(path, "utf8")) ?? [];
  if (seed === undefined) throw new Error(`${path} (NATS_NKEY) has no user's seed, which begins with SU`);
  return Buffer.from(seed);
}

async function streamInfo({ streams }: JetStreamManager): Promise<StreamInfo> {
  try {
    return await streams.info(STREAM);
  } catch (error) {
    if (!isStreamMissing(error)) throw error;
    return streams.add(STREAM_CONFIG);
  }
}

/** An error's text; OpenSSL's own words where there are some, since its whole text has several lines and a file's name. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
}

/** The code of an error, or of what caused it. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return "code" in error && typeof error.code === "string" ? error.code : codeOf(error.cause);
}

const isStreamMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === STREAM_NOT_FOUND;

/** What OpenSSL says of a certificate that no trusted authority signed, in Node's codes. */
const UNTRUSTED = [
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
];

function unavailable(cause: unknown): GradpoolError {
  let reason = reasonOf(cause);
  if (UNTRUSTED.includes(codeOf(cause) ?? ""))
    reason += "; set NATS_CA to the PEM file of the authority that signed it";
  return new GradpoolError("unavailable", `cannot publish events to NATS: ${reason}; they wait until it works again`, {
    cause,
  });
}

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
import { CLUSTER_REPLICAS, STREAM, STREAM_CONFIG } from "./stream.js";

/** How long NATS may take to connect, and to acknowledge. */
const ANSWER_MS = 5_000;

/** Error codes of JetStream's. */
const STREAM_NOT_FOUND = 10_059;
const WRONG_LAST_SEQUENCE = 10_071;
const NO_PEERS_FOR_REPLICAS = 10_005;
const NOT_CLUSTERED = 10_074;

/** Subjects whose newest event is remembered; the stream is asked about others. */
const MAX_SUBJECTS = 10_000;

/** The newest event on a subject; sequence 0: there is none. */
interface Newest {
  sequence: number;
  eventId: string;
}

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
  readonly #newest = new Map<string, Newest>();

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

  /**
   * Resolves when NATS has stored the event, now or before. `covers` says whether an event is this one or a later one: the
   * newest on the subject shows what has arrived, and nothing is stored after one that was not known. So of several
   * publishers, one of which may have been suspended meanwhile, none stores an event a second time. Errors: `unavailable`.
   */
  async publish(event: Event, covers = (eventId: string) => eventId === event.eventId): Promise<void> {
    const subject = subjectOf(event);
    try {
      const newest = this.#newest.get(subject) ?? (await this.#ask(subject));
      if (newest.sequence > 0 && covers(newest.eventId)) return this.#remember(subject, newest);
      const sequence = await this.#store(event, subject, newest.sequence);
      this.#remember(subject, { sequence, eventId: event.eventId });
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  /**
   * Id of the newest event in the stream on the subject of `event`; undefined: there is none. Errors: `unavailable`.
   */
  async newestLike(event: Event): Promise<string | undefined> {
    try {
      const { sequence, eventId } = await this.#ask(subjectOf(event));
      return sequence > 0 ? eventId : undefined;
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  /** Only after the event at `lastSubjectSequence`. Returns its sequence in the stream. */
  async #store(event: Event, subject: string, lastSubjectSequence: number): Promise<number> {
    const headers = this.#headers();
    if (event.traceparent) headers.set("traceparent", event.traceparent);
    const expect = { streamName: STREAM, lastSubjectSequence };
    const options = { msgID: event.eventId, headers, timeout: ANSWER_MS, retries: 0, expect };
    const ack = await this.#client.publish(subject, Event.encode(event).finish(), options).catch(async (error) => {
      if (!hasCode(error, WRONG_LAST_SEQUENCE)) throw error;
      const { sequence } = await this.#ask(subject);
      const what = sequence > lastSubjectSequence ? "another publisher is at work" : "it was recreated or purged";
      throw new Error(`the stream ${STREAM} is not as it was: ${what}`, { cause: error });
    });
    if (ack.duplicate) return ack.seq;
    if (ack.seq <= this.#lastSequence) throw new Error(`the stream ${STREAM} was recreated`);
    return (this.#lastSequence = ack.seq);
  }

  /** The stream's leader answers, not a replica that may lag. */
  async #ask(subject: string): Promise<Newest> {
    const found = await this.#manager.streams.getMessage(STREAM, { last_by_subj: subject });
    return { sequence: found?.seq ?? 0, eventId: found?.header.get("Nats-Msg-Id") ?? "" };
  }

  #remember(subject: string, newest: Newest): void {
    this.#newest.delete(subject);
    this.#newest.set(subject, newest);
    const [oldest] = this.#newest.keys();
    if (this.#newest.size > MAX_SUBJECTS && oldest !== undefined) this.#newest.delete(oldest);
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
    if (!hasCode(error, STREAM_NOT_FOUND)) throw error;
  }
  try {
    return await streams.add({ ...STREAM_CONFIG, num_replicas: CLUSTER_REPLICAS });
  } catch (error) {
    if (hasCode(error, NOT_CLUSTERED)) return streams.add(STREAM_CONFIG);
    if (!hasCode(error, NO_PEERS_FOR_REPLICAS)) throw error;
    const problem = `the NATS cluster has no ${CLUSTER_REPLICAS} servers for the stream ${STREAM}`;
    throw new Error(`${problem}; start them, or create it with fewer replicas`, { cause: error });
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

const hasCode = (error: unknown, code: number): boolean =>
  error instanceof Error && "code" in error && error.code === code;

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

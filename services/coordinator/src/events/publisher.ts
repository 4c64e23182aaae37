/**
 * From the run store to JetStream (I6): events go out in the order in which they were recorded, one at a time, and
 * count as published when NATS has acknowledged them. Nothing waits for it: while NATS is down they stay in the
 * store. At MAX_WAITING the oldest are given up, and an event in their place says how many.
 *
 * Each is in the stream once. NATS drops an id that comes again within ten minutes; of what may have arrived
 * before a failure or from another coordinator, the stream is asked, and it stores an event only after the one that was known to
 * be the newest on its subject. A recreated stream gets all events that are kept.
 */
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { JetStream, type NatsOptions } from "@gradpool/events";
import { Backoff, type Logger } from "@gradpool/service-kit";
import type { Published, RunStore } from "../store/run-store.js";
import type { EventBook } from "./event-book.js";
import { droppedEvent, PAGE_EVENTS } from "./event-log.js";

/** Events that may wait for NATS, and how many of them are given up at a time when there are more. */
const MAX_WAITING = 100_000;
const GIVEN_UP = 10_000;

/** Between attempts to reach NATS. */
const PAUSES = { firstMs: 250, longestMs: 5_000 };

/** Publication is recorded at most this often; after a crash the stream is asked. */
const RECORD_EVERY_MS = 1_000;

/** How often one of several coordinators asks whether it is its turn to publish. */
const TURN_MS = 1_000;

/** How long a stopping coordinator waits for the last events. */
const LAST_EVENTS_MS = 2_000;

/** Which of several coordinators publishes. */
export interface Turn {
  /** This one does. */
  isHere: boolean;
  /** By whoever does or did. */
  published: Published;
}

export interface PublisherOptions {
  nats: NatsOptions;
  store: Pick<RunStore, "events" | "commit">;
  book: EventBook;
  log: Logger;
  maxWaiting?: number;
  /** Given where several coordinators share the store: only one of them publishes, as long as it lives. */
  turn?: (() => Promise<Turn>) | undefined;
}

export class Publisher implements AsyncDisposable {
  readonly #options: PublisherOptions;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  readonly #backoff = new Backoff(PAUSES);
  /** Whether NATS was reported as unavailable; undefined: nothing was reported yet. */
  #isAway: boolean | undefined;
  #isRecorded = true;
  #recordedAtMs = 0;
  /** It is this coordinator that publishes. */
  #hasTurn: boolean;

  /** `maxWaiting`: MAX_WAITING unless given. */
  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#hasTurn = options.turn === undefined;
    this.#ended = this.#run();
  }

  /** Events that wait for this coordinator to publish them. */
  get waiting(): number {
    const { book } = this.#options;
    return this.#hasTurn ? book.newest - book.published.position : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const giveUp = AbortSignal.timeout(LAST_EVENTS_MS);
    while (this.#isAway !== true && this.waiting > 0 && !giveUp.aborted) await delay(10);
    this.#stopping.abort();
    await this.#ended;
    await this.#record();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { book } = this.#options;
    await this.#awaitTurn();
    if (signal.aborted) return;
    // Nothing was ever published: events removed before then are not missing.
    if (book.published.stream === "") book.published = { position: await this.#beforeKept(), stream: "" };
    while (!signal.aborted) {
      try {
        await this.#publishAll();
      } catch (error) {
        if (signal.aborted) return;
        this.#tellAway(error);
        await this.#giveUpOldest();
        await this.#backoff.pause(signal).catch(() => {});
      }
    }
  }

  async #awaitTurn(): Promise<void> {
    const { turn, book, log } = this.#options;
    const { signal } = this.#stopping;
    while (turn && !this.#hasTurn && !signal.aborted) {
      // While the store does not answer, nobody's turn ends.
      const now = await turn().catch(() => undefined);
      // What another one published need not be kept either.
      if (now) book.published = now.published;
      this.#hasTurn = now?.isHere === true;
      if (!this.#hasTurn) await delay(TURN_MS, undefined, { signal }).catch(() => {});
      else log.info({ after: book.published.position }, "this coordinator publishes the pool's events");
    }
  }

  /** Publishes until NATS fails. */
  async #publishAll(): Promise<void> {
    const { book, store } = this.#options;
    await using stream = await this.#connect();
    const { streamCreated } = stream;
    if (book.published.stream === streamCreated) await this.#markGap();
    else book.published = { position: await this.#beforeKept(), stream: streamCreated };
    for (;;) {
      for (const { position, event } of await store.events(book.published.position, PAGE_EVENTS)) {
        // A subject's events arrive in order, so those before its newest have arrived.
        const covers = (newestId: string) => (book.positionOf(newestId) ?? 0) >= position;
        await this.#unlessStopped(stream.publish(event, covers));
        this.#backoff.reset();
        this.#tellBack();
        book.published = { position, stream: streamCreated };
        this.#isRecorded = false;
        if (performance.now() - this.#recordedAtMs >= RECORD_EVERY_MS) await this.#record();
      }
      await this.#giveUpOldest();
      await this.#rest(stream);
    }
  }

  async #connect(): Promise<JetStream> {
    const connecting = JetStream.connect(this.#options.nats);
    try {
      return await this.#unlessStopped(connecting);
    } catch (error) {
      if (this.#stopping.signal.aborted) void connecting.then((late) => late[Symbol.asyncDispose]()).catch(() => {});
      throw error;
    }
  }

  /** The position before the oldest event that is kept. */
  async #beforeKept(): Promise<number> {
    const [oldest] = await this.#options.store.events(0, 1);
    return oldest ? oldest.position - 1 : this.#options.book.newest;
  }

  /** Waits for the next event. Errors: `unavailable` when the connection ends. */
  async #rest(stream: JetStream): Promise<void> {
    const { book } = this.#options;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stopping.signal]);
    const late = delay(RECORD_EVERY_MS, undefined, { signal }).then(() => this.#record());
    late.catch(() => {});
    try {
      await Promise.race([book.newerThan(book.published.position, signal), stream.closed]);
    } finally {
      over.abort();
    }
  }

  /** Events that were not kept, since publishing was turned off in between. */
  async #markGap(): Promise<void> {
    const { store, book } = this.#options;
    const [first] = await store.events(book.published.position, 1);
    if (first && first.position > book.published.position + 1) await this.#giveUp(first.position - 1);
  }

  async #giveUpOldest(): Promise<void> {
    const { maxWaiting = MAX_WAITING, log } = this.#options;
    if (this.waiting <= maxWaiting) return;
    const givenUp = this.waiting - maxWaiting + Math.min(GIVEN_UP, Math.ceil(maxWaiting / 10));
    log.warn({ events: givenUp }, "too many events wait for NATS; dropping the oldest");
    await this.#giveUp(this.#options.book.published.position + givenUp);
  }

  async #giveUp(through: number): Promise<void> {
    const { store, book } = this.#options;
    const events = through - book.published.position;
    const instead = droppedEvent(book.idOf(through), new Date(), { $case: "eventsDropped", value: { events } });
    await store.commit([{ type: "forget-events", through, instead }]);
    book.published = { ...book.published, position: through - 1 };
    this.#isRecorded = false;
    await this.#record();
  }

  async #record(): Promise<void> {
    if (this.#isRecorded) return;
    this.#isRecorded = true;
    this.#recordedAtMs = performance.now();
    await this.#options.store.commit([{ type: "published", ...this.#options.book.published }]);
  }

  /** The value of `promise`, unless the coordinator stops first: nothing waits for NATS. */
  async #unlessStopped<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    const over = new AbortController();
    const stopped = new Promise<never>((_, reject) => {
      const stop = () => reject(new GradpoolError("cancelled", "cancelled"));
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop, { once: true, signal: over.signal });
    });
    try {
      return await Promise.race([promise, stopped]);
    } finally {
      over.abort();
    }
  }

  #tellAway(error: unknown): void {
    if (this.#isAway === true) return;
    this.#isAway = true;
    this.#options.log.warn({ waiting: this.waiting }, GradpoolError.from(error).message);
  }

  /** NATS has an event: a connection alone shows too little, since it may refuse each of them. */
  #tellBack(): void {
    if (this.#isAway === false) return;
    this.#isAway = false;
    this.#options.log.info({ servers: this.#options.nats.servers, waiting: this.waiting }, "publishing events to NATS");
  }
}

/** What happens to events while NATS is down; integration-tests/test/events-nats.test.ts has a real one. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createLogger } from "@gradpool/service-kit";
import { EventBook, KEPT_EVENTS } from "../src/events/event-book.js";
import { EventLog } from "../src/events/event-log.js";
import { Publisher } from "../src/events/publisher.js";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";

const LOG = createLogger("publisher", { GRADPOOL_LOG_LEVEL: "silent" });
const NOWHERE = { servers: ["127.0.0.1:1"], tls: false };

/** Records this many events, of trainers that join. */
async function recordEvents(store: SqliteRunStore, book: EventBook, count: number): Promise<void> {
  const payload = { $case: "trainerJoined" as const, value: { deviceClass: "fake" } };
  const drafts = Array.from({ length: count }, (_, i) => ({ trainerId: `t${i}`, payload }));
  book.recorded(await store.commit(book.record(drafts, new Date())));
}

describe("events that cannot be published", { timeout: 60_000 }, () => {
  it("wait in the store up to a bound, where an event says how many were dropped", async () => {
    await using store = await SqliteRunStore.open(undefined, LOG);
    const book = new EventBook(store.recorded.events, true);
    await recordEvents(store, book, 95);
    const publisher = new Publisher({ nats: NOWHERE, store, book, log: LOG, maxWaiting: 50 });
    while (publisher.waiting > 50) await delay(10);
    await publisher[Symbol.asyncDispose]();
    const [first, second, ...others] = await store.events(0, 1000);
    assert.deepEqual(first?.event.payload, { $case: "eventsDropped", value: { events: 50 } });
    assert.deepEqual([first?.position, second?.position, others.at(-1)?.position], [50, 51, 95]);
    assert.equal(first?.event.eventId, book.idOf(50));
  });

  it("let the coordinator end at once", async () => {
    await using store = await SqliteRunStore.open(undefined, LOG);
    const book = new EventBook(store.recorded.events, true);
    const publisher = new Publisher({ nats: NOWHERE, store, book, log: LOG });
    await recordEvents(store, book, 1);
    await publisher[Symbol.asyncDispose]();
    assert.equal(publisher.waiting, 1);
  });
});

describe("events that are not published", { timeout: 60_000 }, () => {
  it("are kept up to a bound; a watcher that resumes after a removed one is told how many it missed", async () => {
    await using store = await SqliteRunStore.open(undefined, LOG);
    const book = new EventBook(store.recorded.events, false);
    for (let i = 0; i < 11; i++) await recordEvents(store, book, 1_000);
    const kept = await store.events(0, 20_000);
    assert.equal(kept.length, KEPT_EVENTS);
    assert.equal(kept.at(-1)?.position, 11_000);
    const everything = { runIds: [], types: [], trainerId: "", since: undefined, follow: false };
    const afterId = book.idOf(400);
    const seen = [];
    const watching = new EventLog(store, book).watch({ ...everything, afterId }, new AbortController().signal);
    for await (const event of watching) seen.push(event);
    assert.deepEqual(seen[0]?.payload, { $case: "eventsDropped", value: { events: 600 } });
    assert.equal(seen.length, KEPT_EVENTS + 1);
  });
});

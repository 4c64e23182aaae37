/** What a storm does to a pool of several coordinators. */
import { rm, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Coordinators } from "./coordinators.js";
import type { NatsCluster } from "./nats-cluster.js";
import type { Supervised } from "./supervised.js";
import type { Versitygw } from "./versitygw.js";

export interface Stormy {
  pool: Coordinators;
  coordinators: number;
  leaseMs: number;
  nats: NatsCluster;
  /** Where results are, unless they are in a folder. */
  objects: Versitygw | undefined;
  /** A file that fills the disk of results, where that is a small one. */
  filler: string | undefined;
  random: () => number;
}

export interface Disturbance {
  name: string;
  /** What is disturbed, by at most one at a time. */
  what: string;
  /** Resolves when it is over. */
  happen(storm: Stormy): Promise<unknown>;
}

const SERVICES = ["checkpoint-store", "data-stream", "tokenizer"];
const DELAY_MS = 500;

const indexOf = (count: number, { random }: Stormy) => Math.floor(random() * count);
const one = (storm: Stormy) => indexOf(storm.coordinators, storm);
/** Shorter or longer than a lease, up to four times as long. */
const aWhile = ({ leaseMs, random }: Stormy) => leaseMs * (0.3 + 3.7 * random());

async function pause(service: Pick<Supervised, "signal">, ms: number): Promise<void> {
  service.signal("SIGSTOP");
  await delay(ms);
  service.signal("SIGCONT");
}

/** Cuts links of one coordinator: all, or those that are chosen. */
async function cut(storm: Stormy, isCut: (link: number) => boolean): Promise<void> {
  const links = storm.pool.links(one(storm)).filter((_, link) => isCut(link));
  for (const link of links) link.cut();
  await delay(aWhile(storm));
  for (const link of links) link.heal();
}

export const DISTURBANCES: readonly Disturbance[] = [
  { name: "a coordinator is killed", what: "coordinators", happen: async (s) => s.pool.signal(one(s), "SIGKILL") },
  {
    name: "a coordinator is paused past its lease",
    what: "coordinators",
    happen: (s) => {
      const i = one(s);
      return pause({ signal: (signal) => s.pool.signal(i, signal) }, s.leaseMs * (1.5 + 2.5 * s.random()));
    },
  },
  { name: "a coordinator stops in order", what: "coordinators", happen: (s) => s.pool.stopInOrder(one(s)) },
  { name: "a coordinator is cut off", what: "links", happen: (s) => cut(s, () => true) },
  { name: "a coordinator is cut off from PostgreSQL", what: "links", happen: (s) => cut(s, (link) => link > 0) },
  { name: "a coordinator is cut off from its callers", what: "links", happen: (s) => cut(s, (link) => link === 0) },
  {
    name: "a coordinator's network is slow",
    what: "links",
    happen: async (s) => {
      const links = s.pool.links(one(s));
      for (const link of links) link.delayMs = DELAY_MS;
      await delay(3 * s.leaseMs);
      for (const link of links) link.delayMs = 0;
    },
  },
  {
    name: "a trainer is killed",
    what: "trainers",
    happen: async (s) => s.pool.trainers[indexOf(s.pool.trainers.length, s)]?.signal("SIGKILL"),
  },
  {
    name: "a trainer is paused",
    what: "trainers",
    happen: async (s) => {
      const trainer = s.pool.trainers[indexOf(s.pool.trainers.length, s)];
      if (trainer) await pause(trainer, aWhile(s));
    },
  },
  {
    name: "a service is killed",
    what: "services",
    happen: async (s) => s.pool.services.get(SERVICES[indexOf(SERVICES.length, s)] ?? "")?.signal("SIGKILL"),
  },
  {
    name: "PostgreSQL is killed and started again",
    what: "postgres",
    happen: async ({ pool: { postgres } }) => {
      await postgres.kill();
      await postgres.start();
    },
  },
  { name: "PostgreSQL fails over", what: "postgres", happen: ({ pool }) => pool.failOver() },
  {
    name: "a NATS server is killed",
    what: "nats",
    happen: async (s) => {
      const server = s.nats.servers[indexOf(s.nats.servers.length, s)];
      await server?.kill();
      await delay(aWhile(s));
      await server?.start();
    },
  },
  {
    name: "NATS loses all its data",
    what: "nats",
    happen: async ({ nats: { servers } }) => {
      await Promise.all(servers.map((server) => server.kill()));
      await Promise.all(servers.map((server) => server.wipe()));
      await Promise.all(servers.map((server) => server.start()));
    },
  },
  {
    name: "the place of results is down or full",
    what: "results",
    happen: async (s) => {
      const { objects, filler } = s;
      if (objects) {
        await objects.kill();
        await delay(aWhile(s));
        await objects.start();
      } else if (filler !== undefined) {
        // Until there is no space.
        await writeFile(filler, Buffer.alloc(1 << 28)).catch(() => {});
        await delay(aWhile(s));
        await rm(filler, { force: true });
      }
    },
  },
];

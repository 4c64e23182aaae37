/** What events cost a step: the same short runs in turn on a pool without NATS, with it, and with one that hangs. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { NatsServer, Stack } from "@gradpool/integration-tests";
import { compareSteps, shortRows } from "./compare-steps.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "9" } } });
const dir = await mkdtemp(join(tmpdir(), "gradpool-events-cost-"));
const dataset = await shortRows(dir);

try {
  await using nats = await NatsServer.start(join(dir, "nats"));
  await using hanging = await NatsServer.start(join(dir, "hanging"));
  const start = (name: string, natsUrl?: string) =>
    Stack.start({ trainers: 1, runStore: join(dir, `${name}.sqlite`), ...(natsUrl && { natsUrl }) });
  await using without = await start("without");
  await using withNats = await start("with", nats.url);
  await using withHanging = await start("hanging", hanging.url);
  hanging.suspend();
  const pools = { without, "with NATS": withNats, "with a NATS that hangs": withHanging };
  await compareSteps(pools, "without", { dir, dataset, rounds: Number(values.rounds) });
  hanging.resume();
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** What a start costs: `gradpool --help`, and a local stack until it is ready; and the memory of its processes when idle (Linux). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { GRADPOOL, runChild } from "./child.js";
import { spreadOf, spreadText } from "./rounds.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const dir = await mkdtemp(join(tmpdir(), "gradpool-bench-"));
/** What garbage a start leaves is collected by then. */
const IDLE_MS = 15_000;

const spread = (seconds: number[]) => `${spreadText(spreadOf(seconds))} s`;

const helpSeconds = async () => (await runChild(process.execPath, [GRADPOOL, "--help"])).seconds;

/** A local stack; `look` sees the process ids of all its processes. */
async function stackSeconds(look: (pids: string[]) => Promise<void> = async () => {}): Promise<number> {
  const begin = performance.now();
  const up = spawn(process.execPath, [GRADPOOL, "up", "--port", "0", "--device", "cpu", "--json"], {
    env: { ...process.env, GRADPOOL_HOME: join(dir, "home") },
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(up.stdout, "data");
  const seconds = (performance.now() - begin) / 1000;
  const children = readFileSync(`/proc/${up.pid}/task/${up.pid}/children`, "utf8").trim().split(" ");
  await look([String(up.pid), ...children]);
  up.kill("SIGTERM");
  await once(up, "exit");
  return seconds;
}

/** Resident, and the share of it that counts what processes share once. */
function printMemory(pids: string[]): void {
  let total = 0;
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]) / 1024;
    const [, name = "gradpool up"] = /services\/([^/]+)\/dist/.exec(readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? [];
    total += mebibytes("Pss");
    console.log(
      `${name}: ${mebibytes("Rss").toFixed(0)} MiB resident, ${mebibytes("Pss").toFixed(0)} of its own share`,
    );
  }
  console.log(`all: ${total.toFixed(0)} MiB`);
}

try {
  const rounds = Array.from({ length: Number(values.rounds) });
  const [helps, stacks]: number[][] = [[], []];
  for (const _ of rounds) {
    helps?.push(await helpSeconds());
    stacks?.push(await stackSeconds());
  }
  console.log(`gradpool --help: ${spread(helps ?? [])}`);
  console.log(`gradpool up, ready: ${spread(stacks ?? [])}`);
  await stackSeconds(async (pids) => {
    await delay(IDLE_MS);
    printMemory(pids);
  });
} finally {
  await rm(dir, { recursive: true, force: true });
}

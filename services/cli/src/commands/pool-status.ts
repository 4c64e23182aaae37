/** gradpool pool status: a pool as its coordinator sees it, and the processes of this machine's stacks. */
import { findCertificates } from "@gradpool/access";
import { counted, localTime } from "@gradpool/format";
import type { GetPoolResponse } from "@gradpool/rpc";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { fallbackHome } from "../local-stack/stack-folders.js";
import { readStacks, type StackProcesses } from "../local-stack/stack-processes.js";
import { Pool } from "../runs/pool.js";
import { snakeKeys, trainerJson } from "../runs/run-json.js";
import { table } from "../terminal/format.js";
import { trainerTable } from "../terminal/trainer-table.js";

export function addPoolStatus(pool: Command, options: ProgramOptions): void {
  const command = pool
    .command("status")
    .description("show services, trainers and runs, and the pool processes on this machine");
  onPool(command, options)
    .addHelpText(
      "after",
      examples("gradpool pool status", "gradpool pool status --address 10.0.0.5:7070 --output yaml"),
    )
    .action((flags: PoolFlags) => poolStatus(flags, contextFor(flags, options)));
}

/** Errors: those of the call; the processes of this machine are shown even then. */
async function poolStatus(flags: { address: string }, context: CommandContext): Promise<void> {
  const { output, config, interrupts } = context;
  const homes = [...new Set([config.home, fallbackHome()])];
  const stacks = (await Promise.all(homes.map(readStacks))).flat();
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  using tls = findCertificates(config.access, flags.address);
  const notice = tls?.expiryNotice();
  if (notice) output.note(notice);
  let status: GetPoolResponse;
  try {
    status = await pool.status(interrupts.signal);
  } catch (error) {
    sayProcesses(stacks, context);
    output.failWith({ processes: stacks.flatMap(processesJson) });
    throw error;
  }
  const { services, trainers, activeRuns, pausedRuns } = status;
  output.document({
    address: flags.address,
    services: services.map((service) => snakeKeys({ ...service, problem: service.problem || undefined })),
    trainers: trainers.map(trainerJson),
    active_runs: activeRuns,
    paused_runs: pausedRuns,
    processes: stacks.flatMap(processesJson),
  });
  output.say(serviceTable(services));
  output.say(`\n${trainerTable(trainers)}`);
  output.say(
    `\n${activeRuns === 0 ? "no active runs" : `${counted(activeRuns, "active run")}, ${pausedRuns} of them paused`}`,
  );
  sayProcesses(stacks, context);
}

function serviceTable(services: GetPoolResponse["services"]): string {
  const rows = services.map(({ name, address, serving, problem, startedAt }) => [
    name,
    address,
    startedAt ? localTime(startedAt) : "-",
    serving ? "serving" : `not serving: ${problem || "no reason given"}`,
  ]);
  return table(["service", "address", "up since", "state"], rows);
}

function sayProcesses(stacks: StackProcesses[], { output }: CommandContext): void {
  const rows = stacks.flatMap((stack) =>
    stack.processes.map(({ name, process, address, http_address: http, started_at: startedAt, isAlive }) => [
      stack.name,
      name,
      process.pid,
      address || "-",
      http ?? "-",
      localTime(new Date(startedAt)),
      isAlive ? "alive" : "dead",
    ]),
  );
  if (rows.length === 0) output.say("\nno local stack runs on this machine");
  else output.say(`\n${table(["local stack", "process", "pid", "address", "http", "up since", "state"], rows)}`);
}

function processesJson(stack: StackProcesses) {
  return stack.processes.map(({ name, process, address, http_address, started_at, isAlive }) => ({
    stack: stack.name,
    name,
    pid: process.pid,
    host: process.host,
    address: address || undefined,
    http_address,
    started_at,
    alive: isAlive,
  }));
}

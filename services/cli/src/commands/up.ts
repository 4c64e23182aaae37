/** gradpool up: the whole stack in the foreground. */
import { givenKey } from "@gradpool/access";
import type { DeviceRequest } from "@gradpool/runtime";
import { formatAddress, parseListenAddress, type ListenAddress } from "@gradpool/service-kit";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import {
  addAccessFlags,
  contextFor,
  HELP_TAIL,
  JSON_LINES,
  jsonOption,
  type OutputFlags,
  type ProgramOptions,
} from "../command-options.js";
import { DEFAULT_PORT } from "../config.js";
import { port, refusal, singlePort } from "../flags.js";
import { startLocalStack } from "../local-stack/local-stack.js";
import { dashboardLines } from "../local-stack/dashboard-link.js";
import { addStackFlags, deviceOf } from "../local-stack/stack-flags.js";
import { table } from "../terminal/format.js";
import { UsageError } from "../usage-error.js";

const HELP = `
Examples:
  gradpool up --trainers 2
  gradpool up --listen 0.0.0.0:7080
  gradpool up --listen ::
${HELP_TAIL}`;

export function addUp(command: Command, options: ProgramOptions): void {
  addAccessFlags(addStackFlags(command))
    .addOption(
      new Option(
        "--port <n>",
        "port of the coordinator; its HTTP port and the other services use the next four; 0: any free ones",
      )
        .argParser(port)
        .default(DEFAULT_PORT),
    )
    .addOption(
      new Option(
        "--http_port <n>",
        "port on 127.0.0.1 for the coordinator's metrics and probes; 0: any free one (default: the one after --port)",
      ).argParser(singlePort),
    )
    .option("--metrics", "give the other services HTTP ports, too (any free ones; pool status shows them)")
    .addOption(
      new Option(
        "--listen <address>",
        "what the coordinator listens on: HOST or HOST:PORT; 0.0.0.0 and :: are every interface",
      )
        .argParser(listen)
        .default({ host: "127.0.0.1", port: undefined }, "127.0.0.1"),
    )
    .addOption(jsonOption(JSON_LINES))
    .addHelpText("after", HELP)
    .action((flags: UpFlags & OutputFlags) =>
      up({ ...flags, port: portOf(flags, command.getOptionValueSource("port") === "cli") }, contextFor(flags, options)),
    );
}

/** What to listen on, with or without a port; the port leaves room as `port` does. */
function listen(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (!address) throw refusal(text, "HOST or HOST:PORT, such as 0.0.0.0, ::1 or [::]:7070");
  if (address.port !== undefined) port(String(address.port));
  return address;
}

interface UpFlags {
  /** What the coordinator listens on; its port, if it has one, is the same as `port`. */
  listen: ListenAddress;
  /** Port of the coordinator; its HTTP port and the other services follow. 0 takes any free ports. */
  port: number;
  /** Port of 127.0.0.1 that the coordinator listens on for HTTP; the one after `port` unless given. */
  http_port?: number;
  /** HTTP ports for the other services. */
  metrics?: boolean;
  trainers?: number;
  threads?: number;
  device?: DeviceRequest;
  recovery_seconds?: number;
}

/** Errors: UsageError when --listen and --port name two ports. */
function portOf({ listen, port }: UpFlags, isPortGiven: boolean): number {
  if (listen.port !== undefined && isPortGiven && listen.port !== port) {
    throw new UsageError(`--listen names port ${listen.port} and --port ${port}; give one of them`);
  }
  return listen.port ?? port;
}

async function up(flags: UpFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const { trainers, threads } = flags;
  const device = deviceOf(flags);
  output.progress("starting the services");
  await using stack = await startLocalStack({
    trainers,
    threads,
    device,
    listen: formatAddress(flags.listen.host, flags.port),
    httpListen: `127.0.0.1:${flags.http_port ?? (flags.port === 0 ? 0 : flags.port + 1)}`,
    metrics: flags.metrics,
    servicePort: flags.port === 0 ? undefined : flags.port + 2,
    recoverySeconds: flags.recovery_seconds,
    home: config.home,
    key: givenKey(config.access),
    tls: config.access.tls,
    isInsecure: config.access.isInsecure,
    note: (text) => output.note(text),
    signal: interrupts.signal,
  });
  interrupts.onForce(() => stack.kill());
  const services = [...stack.services, ...stack.trainers].map((service) => ({
    ...{ name: service.name, address: service.address, http_address: service.httpAddress, pid: service.pid },
  }));
  output.endProgress();
  const http_address = stack.httpAddress;
  output.document({
    ...{ event: "ready", address: stack.addresses.coordinator, http_address },
    ...{ services, logs: stack.logFolder, key_file: stack.keyFile },
  });
  output.say(
    table(
      ["service", "address", "http", "pid"],
      services.map(({ name, address, http_address: http, pid }) => [name, address, http ?? "-", pid]),
    ),
  );
  for (const line of dashboardLines(stack, output)) output.say(line);
  output.say(`metrics: http://${http_address}/metrics`);
  output.say(`logs: ${stack.logFolder}`);
  output.say(
    `submit a run with: gradpool run submit --address ${stack.addresses.coordinator} …; Ctrl-C stops the pool`,
  );
  throw await Promise.race([stack.failed, interrupted(interrupts.signal)]);
}

function interrupted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

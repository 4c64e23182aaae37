/** gradpool up: the whole stack in the foreground. */
import type { DeviceRequest } from "@gradpool/runtime";
import type { CommandContext } from "../command-context.js";
import { startLocalStack } from "../local-stack/local-stack.js";
import { deviceOf } from "../flags.js";
import { table } from "../terminal/format.js";

export interface UpFlags {
  /** Interface that the coordinator listens on. */
  listen: string;
  /** Port of the coordinator; its HTTP port and the other services follow. 0 takes any free ports. */
  port: number;
  /** Port of 127.0.0.1 that the coordinator listens on for HTTP; the one behind `port` unless given. */
  http_port?: number;
  /** HTTP ports for the other services. */
  metrics?: boolean;
  trainers?: number;
  threads?: number;
  device?: DeviceRequest;
  recovery_seconds?: number;
}

export async function up(flags: UpFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const { port, trainers, threads } = flags;
  const device = deviceOf(flags);
  output.progress("starting the services");
  await using stack = await startLocalStack({
    trainers,
    threads,
    device,
    listen: `${flags.listen}:${port}`,
    httpListen: `127.0.0.1:${flags.http_port ?? (port === 0 ? 0 : port + 1)}`,
    metrics: flags.metrics,
    servicePort: port === 0 ? undefined : port + 2,
    recoverySeconds: flags.recovery_seconds,
    home: config.home,
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
    ...{ services, logs: stack.logFolder },
  });
  output.say(
    table(
      ["service", "address", "http", "pid"],
      services.map(({ name, address, http_address: http, pid }) => [name, address, http ?? "-", pid]),
    ),
  );
  output.say(`dashboard: http://${http_address}/`);
  output.say(`metrics: http://${http_address}/metrics`);
  output.say(`logs: ${stack.logFolder}`);
  output.say(
    `submit a run with: gradpool run submit --address ${stack.addresses.coordinator} …; Ctrl-C ends the stack`,
  );
  throw await Promise.race([stack.failed, interrupted(interrupts.signal)]);
}

function interrupted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

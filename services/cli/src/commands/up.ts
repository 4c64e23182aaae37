/** gradpool up: the whole stack in the foreground. */
import type { DeviceRequest } from "@gradpool/runtime";
import type { CommandContext } from "../command-context.js";
import { startLocalStack } from "../local-stack/local-stack.js";
import { deviceOf } from "../flags.js";
import { table } from "../terminal/format.js";

export interface UpFlags {
  /** Interface that the coordinator listens on. */
  listen: string;
  /** Port of the coordinator; the other services follow. 0 takes any free ports. */
  port: number;
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
    servicePort: port === 0 ? undefined : port + 1,
    recoverySeconds: flags.recovery_seconds,
    home: config.home,
    note: (text) => output.note(text),
    signal: interrupts.signal,
  });
  interrupts.onForce(() => stack.kill());
  const services = [...stack.services, ...stack.trainers].map(({ name, address, pid }) => ({ name, address, pid }));
  output.endProgress();
  output.document({ event: "ready", address: stack.addresses.coordinator, services, logs: stack.logFolder });
  output.say(
    table(
      ["service", "address", "pid"],
      services.map(({ name, address, pid }) => [name, address, pid]),
    ),
  );
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
